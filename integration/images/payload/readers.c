/*
 * Readers of files, as many as wanted, each a thread: open, read to the end, close, again and again. Or with `held`, each reads the
 * descriptor that it has opened once from its start again.
 *
 * usage: readers COUNT opened|held FILE...
 *
 * Reader N reads FILE number N modulo their count. How many texts were read so far, and how many reads failed, are the first and
 * second 64-bit number of /run/readers, which others may map or read. SIGUSR1 makes all readers spin instead of reading, and
 * read again with the next.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static const char counters_path[] = "/run/readers";

struct counters {
	atomic_ullong texts;
	atomic_ullong failures;
};

struct reader {
	pthread_t thread;
	const char *path;
	int held;
};

static struct counters *counters;
static atomic_int spinning;

static void toggle(int signal) {
	(void)signal;
	atomic_fetch_xor(&spinning, 1);
}

/* Whether all of the file could be read. */
static int read_all(int file) {
	char block[65536];
	ssize_t count;
	while ((count = read(file, block, sizeof block)) > 0)
		;
	return count == 0;
}

static int read_anew(const char *path) {
	int file = open(path, O_RDONLY | O_CLOEXEC);
	if (file < 0)
		return 0;
	int whole = read_all(file);
	close(file);
	return whole;
}

static void *run(void *argument) {
	struct reader *reader = argument;
	int file = reader->held ? open(reader->path, O_RDONLY | O_CLOEXEC) : -1;
	for (;;) {
		if (atomic_load(&spinning))
			continue;
		int whole = reader->held ? lseek(file, 0, SEEK_SET) == 0 && read_all(file) : read_anew(reader->path);
		atomic_fetch_add(whole ? &counters->texts : &counters->failures, 1);
	}
	return NULL;
}

static int fail(const char *what) {
	fprintf(stderr, "readers: %s: %s\n", what, strerror(errno));
	return 1;
}

static int map_counters(void) {
	int file = open(counters_path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (file < 0 || ftruncate(file, sizeof *counters) != 0)
		return 0;
	counters = mmap(NULL, sizeof *counters, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
	close(file);
	return counters != MAP_FAILED;
}

int main(int count, char **arguments) {
	if (count < 4 || (strcmp(arguments[2], "opened") != 0 && strcmp(arguments[2], "held") != 0)) {
		fputs("usage: readers COUNT opened|held FILE...\n", stderr);
		return 2;
	}
	long readers = strtol(arguments[1], NULL, 10);
	struct reader *all = calloc((size_t)readers, sizeof *all);
	if (all == NULL || !map_counters())
		return fail(counters_path);
	signal(SIGUSR1, toggle);
	pthread_attr_t small;
	pthread_attr_init(&small);
	pthread_attr_setstacksize(&small, 128 * 1024);
	for (long reader = 0; reader < readers; reader++) {
		all[reader].path = arguments[3 + reader % (count - 3)];
		all[reader].held = strcmp(arguments[2], "held") == 0;
		errno = pthread_create(&all[reader].thread, &small, run, &all[reader]);
		if (errno != 0)
			return fail("pthread_create");
	}
	printf("%ld readers\n", readers);
	fflush(stdout);
	for (;;)
		pause();
}
