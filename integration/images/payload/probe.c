/*
 * The only program of an image without a shell: each verb does one thing and reports on standard output, failures on
 * standard error with the errno's text. Exit status: 0, 1 when a call failed, 2 for a wrong command line.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static const char usage[] =
	"usage: probe VERB [ARGUMENT]...\n"
	"  exit STATUS          exits with STATUS\n"
	"  sleep [SECONDS]      sleeps, for ever without SECONDS; SIGTERM ends it with status 0\n"
	"  stubborn             sleeps for ever and ignores SIGTERM and SIGINT\n"
	"  kill SIGNAL          sends itself SIGNAL (a number)\n"
	"  cat [PATH]           copies PATH, or standard input, to standard output\n"
	"  echo WORD...         prints the words\n"
	"  arguments WORD...    prints each argument in a line of its own\n"
	"  environment          prints the environment, one variable per line\n"
	"  id                   prints real, effective and saved ids and the supplementary groups\n"
	"  status FIELD         prints FIELD of /proc/self/status\n"
	"  directory            prints the working directory\n"
	"  readlink PATH        prints where PATH points\n"
	"  stat PATH            prints type and mode, owner, device and size of PATH\n"
	"  open PATH MODE       opens PATH; MODE is r, w, rw or create\n"
	"  list PATH            prints the names in the directory PATH\n"
	"  fds                  prints the open descriptors and where they point\n"
	"  tty                  prints whether the standard descriptors are terminals\n"
	"  fork COUNT           starts COUNT sleeping children, prints how many could be started, then sleeps\n"
	"  orphan               leaves a sleeping grandchild behind and exits with 0\n"
	"  memhog BYTES         touches BYTES of memory, prints `holding BYTES`, then sleeps\n"
	"  spin [SECONDS]       uses a whole CPU, for ever without SECONDS\n"
	"  wake USEC COUNT      sleeps COUNT times until the next multiple of USEC, prints percentiles of being late, in usec\n"
	"  slice PID            prints the time slice of a task of the default policy, in usec\n"
	"  lines COUNT          prints COUNT numbered lines\n"
	"  mount SOURCE TARGET  bind-mounts SOURCE on TARGET\n";

static int fail(const char *what, const char *about) {
	fprintf(stderr, "probe: %s %s: %s\n", what, about, strerror(errno));
	return 1;
}

static int misused(void) {
	fputs(usage, stderr);
	return 2;
}

static int number(const char *text, long *value) {
	char *end;
	errno = 0;
	*value = strtol(text, &end, 0);
	return errno == 0 && end != text && *end == '\0' && *value >= 0;
}

static void end_well(int signal_number) {
	(void)signal_number;
	_exit(0);
}

static int sleep_for_ever(void) {
	while (pause() == -1) {
	}
	return 0;
}

static int verb_exit(char **arguments) {
	long status;
	return number(arguments[0], &status) ? (int)status : misused();
}

static int verb_sleep(char **arguments) {
	long seconds;
	signal(SIGTERM, end_well);
	if (arguments[0] == NULL) {
		return sleep_for_ever();
	}
	if (!number(arguments[0], &seconds)) {
		return misused();
	}
	for (unsigned left = (unsigned)seconds; left > 0;) {
		left = sleep(left);
	}
	return 0;
}

static int verb_stubborn(char **arguments) {
	(void)arguments;
	signal(SIGTERM, SIG_IGN);
	signal(SIGINT, SIG_IGN);
	return sleep_for_ever();
}

static int verb_kill(char **arguments) {
	long signal_number;
	if (!number(arguments[0], &signal_number)) {
		return misused();
	}
	return kill(getpid(), (int)signal_number) == 0 ? 0 : fail("kill", arguments[0]);
}

static int verb_cat(char **arguments) {
	const char *path = arguments[0] == NULL ? "/dev/stdin" : arguments[0];
	int input = arguments[0] == NULL ? 0 : open(path, O_RDONLY | O_CLOEXEC);
	char block[65536];
	ssize_t length;
	if (input < 0) {
		return fail("open", path);
	}
	while ((length = read(input, block, sizeof block)) > 0) {
		for (ssize_t done = 0; done < length;) {
			ssize_t written = write(1, block + done, (size_t)(length - done));
			if (written < 0) {
				return fail("write", "standard output");
			}
			done += written;
		}
	}
	return length < 0 ? fail("read", path) : 0;
}

static int verb_echo(char **arguments) {
	for (char **word = arguments; *word != NULL; word++) {
		printf("%s%s", *word, word[1] == NULL ? "" : " ");
	}
	putchar('\n');
	return 0;
}

static int verb_arguments(char **arguments) {
	for (; *arguments != NULL; arguments++) {
		puts(*arguments);
	}
	return 0;
}

static int verb_environment(char **arguments) {
	(void)arguments;
	return verb_arguments(environ);
}

static int verb_id(char **arguments) {
	uid_t uid[3];
	gid_t gid[3];
	gid_t groups[1024];
	int count;
	(void)arguments;
	if (getresuid(&uid[0], &uid[1], &uid[2]) != 0 || getresgid(&gid[0], &gid[1], &gid[2]) != 0) {
		return fail("getresuid", "");
	}
	count = getgroups((int)(sizeof groups / sizeof *groups), groups);
	if (count < 0) {
		return fail("getgroups", "");
	}
	printf("uid %u %u %u\ngid %u %u %u\ngroups", uid[0], uid[1], uid[2], gid[0], gid[1], gid[2]);
	for (int i = 0; i < count; i++) {
		printf(" %u", groups[i]);
	}
	putchar('\n');
	return 0;
}

static int verb_status(char **arguments) {
	FILE *status = fopen("/proc/self/status", "re");
	char line[4096];
	size_t length = strlen(arguments[0]);
	if (status == NULL) {
		return fail("open", "/proc/self/status");
	}
	while (fgets(line, sizeof line, status) != NULL) {
		if (strncmp(line, arguments[0], length) == 0 && line[length] == ':') {
			fputs(line + length + 1 + strspn(line + length + 1, " \t"), stdout);
			return 0;
		}
	}
	fprintf(stderr, "probe: no field %s in /proc/self/status\n", arguments[0]);
	return 1;
}

static int verb_directory(char **arguments) {
	char path[4096];
	(void)arguments;
	return getcwd(path, sizeof path) == NULL ? fail("getcwd", "") : (puts(path), 0);
}

static int verb_readlink(char **arguments) {
	char target[4096];
	ssize_t length = readlink(arguments[0], target, sizeof target - 1);
	if (length < 0) {
		return fail("readlink", arguments[0]);
	}
	target[length] = '\0';
	puts(target);
	return 0;
}

static int verb_stat(char **arguments) {
	struct stat found;
	if (lstat(arguments[0], &found) != 0) {
		return fail("stat", arguments[0]);
	}
	printf("mode %06o\nowner %u %u\ndevice %u:%u\nsize %lld\n", found.st_mode, found.st_uid, found.st_gid,
		(unsigned)(found.st_rdev >> 8) & 0xfff, (unsigned)found.st_rdev & 0xff, (long long)found.st_size);
	return 0;
}

static int verb_open(char **arguments) {
	static const struct {
		const char *mode;
		int flags;
	} modes[] = {{"r", O_RDONLY}, {"w", O_WRONLY}, {"rw", O_RDWR}, {"create", O_WRONLY | O_CREAT | O_EXCL}};
	for (size_t i = 0; i < sizeof modes / sizeof *modes; i++) {
		if (strcmp(arguments[1], modes[i].mode) == 0) {
			int descriptor = open(arguments[0], modes[i].flags | O_CLOEXEC, 0600);
			return descriptor < 0 ? fail("open", arguments[0]) : close(descriptor);
		}
	}
	return misused();
}

static int verb_list(char **arguments) {
	struct dirent **entries;
	int count = scandir(arguments[0], &entries, NULL, alphasort);
	if (count < 0) {
		return fail("open", arguments[0]);
	}
	for (int i = 0; i < count; i++) {
		if (strcmp(entries[i]->d_name, ".") != 0 && strcmp(entries[i]->d_name, "..") != 0) {
			puts(entries[i]->d_name);
		}
	}
	return 0;
}

/* Asks for each number, because reading /proc/self/fd would open a descriptor and need /proc. */
static int verb_fds(char **arguments) {
	(void)arguments;
	for (int descriptor = 0; descriptor < 1024; descriptor++) {
		char path[64];
		char target[4096];
		ssize_t length;
		if (fcntl(descriptor, F_GETFD) < 0) {
			continue;
		}
		snprintf(path, sizeof path, "/proc/self/fd/%d", descriptor);
		length = readlink(path, target, sizeof target - 1);
		target[length < 0 ? 0 : length] = '\0';
		printf("%d %s\n", descriptor, length < 0 ? "?" : target);
	}
	return 0;
}

static int verb_tty(char **arguments) {
	static const char *const names[] = {"stdin", "stdout", "stderr"};
	(void)arguments;
	for (int descriptor = 0; descriptor < 3; descriptor++) {
		char name[256];
		int is_terminal = ttyname_r(descriptor, name, sizeof name) == 0;
		printf("%s %s\n", names[descriptor], is_terminal ? name : (isatty(descriptor) ? "terminal" : "no terminal"));
	}
	return 0;
}

static int verb_fork(char **arguments) {
	long count;
	long started = 0;
	if (!number(arguments[0], &count)) {
		return misused();
	}
	for (; started < count; started++) {
		pid_t child = fork();
		if (child == 0) {
			sleep_for_ever();
		}
		if (child < 0) {
			fail("fork", "");
			break;
		}
	}
	signal(SIGTERM, end_well);
	printf("started %ld\n", started);
	fflush(stdout);
	return sleep_for_ever();
}

static int verb_orphan(char **arguments) {
	pid_t child = fork();
	(void)arguments;
	if (child < 0) {
		return fail("fork", "");
	}
	if (child == 0) {
		sleep_for_ever();
	}
	printf("left %d\n", (int)child);
	return 0;
}

static int verb_memhog(char **arguments) {
	long bytes;
	char *memory;
	if (!number(arguments[0], &bytes)) {
		return misused();
	}
	memory = mmap(NULL, (size_t)bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED) {
		return fail("mmap", arguments[0]);
	}
	for (long offset = 0; offset < bytes; offset += 4096) {
		memory[offset] = 1;
	}
	printf("holding %ld\n", bytes);
	fflush(stdout);
	signal(SIGTERM, end_well);
	return sleep_for_ever();
}

static int verb_spin(char **arguments) {
	long seconds = 0;
	if (arguments[0] != NULL) {
		if (!number(arguments[0], &seconds)) {
			return misused();
		}
		signal(SIGALRM, end_well);
		alarm((unsigned)seconds);
	}
	for (volatile unsigned long turns = 0;; turns++) {
	}
}

static long long monotonic(void) {
	struct timespec time;
	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1000000000LL + time.tv_nsec;
}

static int ascending(const void *one, const void *other) {
	long long a = *(const long long *)one;
	long long b = *(const long long *)other;
	return (a > b) - (a < b);
}

static int verb_wake(char **arguments) {
	long period;
	long count;
	long long next;
	long long *late;
	if (!number(arguments[0], &period) || !number(arguments[1], &count) || period == 0 || count == 0) {
		return misused();
	}
	late = calloc((size_t)count, sizeof *late);
	if (late == NULL) {
		return fail("calloc", arguments[1]);
	}
	next = monotonic();
	/* The first ones, while the scheduler gets to know the task, are not counted. */
	for (long turn = -count / 10; turn < count; turn++) {
		struct timespec until;
		long long now;
		next += period * 1000LL;
		until.tv_sec = next / 1000000000LL;
		until.tv_nsec = next % 1000000000LL;
		while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) == EINTR) {
		}
		now = monotonic();
		if (turn >= 0) {
			late[turn] = now - next;
		}
		/* Who is late by more than a period has missed that one. */
		next = now > next + period * 1000LL ? now : next;
	}
	qsort(late, (size_t)count, sizeof *late, ascending);
	printf("p50 %lld p90 %lld p99 %lld\n", late[count / 2] / 1000, late[count * 9 / 10] / 1000,
		late[count * 99 / 100] / 1000);
	return 0;
}

static int verb_slice(char **arguments) {
	struct {
		unsigned size;
		unsigned policy;
		unsigned long long flags;
		int nice;
		unsigned priority;
		unsigned long long runtime;
		unsigned long long deadline;
		unsigned long long period;
	} attributes = {0};
	long pid;
	if (!number(arguments[0], &pid)) {
		return misused();
	}
	if (syscall(SYS_sched_getattr, (pid_t)pid, &attributes, sizeof attributes, 0) != 0) {
		return fail("sched_getattr", arguments[0]);
	}
	printf("%llu\n", attributes.runtime / 1000);
	return 0;
}

static int verb_lines(char **arguments) {
	long count;
	if (!number(arguments[0], &count)) {
		return misused();
	}
	for (long line = 1; line <= count; line++) {
		printf("line %ld\n", line);
	}
	return 0;
}

static int verb_mount(char **arguments) {
	return mount(arguments[0], arguments[1], NULL, MS_BIND, NULL) == 0 ? 0 : fail("mount", arguments[1]);
}

static const struct verb {
	const char *name;
	int least;
	int most; /* -1: any number */
	int (*run)(char **arguments);
} verbs[] = {
	{"exit", 1, 1, verb_exit},
	{"sleep", 0, 1, verb_sleep},
	{"stubborn", 0, 0, verb_stubborn},
	{"kill", 1, 1, verb_kill},
	{"cat", 0, 1, verb_cat},
	{"echo", 0, -1, verb_echo},
	{"arguments", 0, -1, verb_arguments},
	{"environment", 0, 0, verb_environment},
	{"id", 0, 0, verb_id},
	{"status", 1, 1, verb_status},
	{"directory", 0, 0, verb_directory},
	{"readlink", 1, 1, verb_readlink},
	{"stat", 1, 1, verb_stat},
	{"open", 2, 2, verb_open},
	{"list", 1, 1, verb_list},
	{"fds", 0, 0, verb_fds},
	{"tty", 0, 0, verb_tty},
	{"fork", 1, 1, verb_fork},
	{"orphan", 0, 0, verb_orphan},
	{"memhog", 1, 1, verb_memhog},
	{"spin", 0, 1, verb_spin},
	{"wake", 2, 2, verb_wake},
	{"slice", 1, 1, verb_slice},
	{"lines", 1, 1, verb_lines},
	{"mount", 2, 2, verb_mount},
};

int main(int count, char **arguments) {
	int given = count - 2;
	if (count < 2) {
		return misused();
	}
	for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++) {
		if (strcmp(arguments[1], verbs[i].name) == 0) {
			if (given < verbs[i].least || (verbs[i].most >= 0 && given > verbs[i].most)) {
				return misused();
			}
			int status = verbs[i].run(arguments + 2);
			if (fflush(stdout) != 0) {
				return fail("write", "standard output");
			}
			return status;
		}
	}
	return misused();
}
