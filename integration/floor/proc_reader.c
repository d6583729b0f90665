// Opens, reads to the end and closes a file over and over, by some processes at once, and says how long that took:
//   proc_reader [-p PID] [-c CGROUP] READERS ROUNDS FILE
// One line of JSON: mean, median, 99th percentile in nanoseconds, rounds per second of all readers, bytes of the text.
// With -p it reads in that process's mount namespace, with -c as a member of that cgroup. Without anything it waits for ever.
#define _GNU_SOURCE
#include <fcntl.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void fail(const char *what) {
    perror(what);
    exit(1);
}

static uint64_t now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static size_t read_once(const char *path) {
    static char buffer[32768];
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0) fail(path);
    size_t whole = 0;
    for (;;) {
        ssize_t count = read(file, buffer, sizeof buffer);
        if (count < 0) fail(path);
        if (count == 0) break;
        whole += (size_t)count;
    }
    close(file);
    return whole;
}

static int ascending(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static void join_mounts(const char *pid) {
    char path[64];
    snprintf(path, sizeof path, "/proc/%s/ns/mnt", pid);
    int namespace = open(path, O_RDONLY | O_CLOEXEC);
    if (namespace < 0 || setns(namespace, CLONE_NEWNS) < 0) fail(path);
    close(namespace);
}

static void join_cgroup(const char *directory) {
    char path[512];
    snprintf(path, sizeof path, "%s/cgroup.procs", directory);
    int file = open(path, O_WRONLY | O_CLOEXEC);
    if (file < 0 || write(file, "0", 1) != 1) fail(path);
    close(file);
}

int main(int argc, char **argv) {
    if (argc == 1) {
        for (;;) pause();
    }
    int option;
    while ((option = getopt(argc, argv, "p:c:")) != -1) {
        if (option == 'c') join_cgroup(optarg);
        else if (option == 'p') join_mounts(optarg);
        else return 2;
    }
    if (argc - optind != 3) return 2;
    size_t readers = strtoul(argv[optind], NULL, 10), rounds = strtoul(argv[optind + 1], NULL, 10);
    const char *path = argv[optind + 2];

    // What the readers share: a gate, and the time that each round took.
    size_t size = 4096 + readers * rounds * sizeof(uint64_t);
    void *shared = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (shared == MAP_FAILED) fail("mmap");
    atomic_size_t *ready = shared, *gate = ready + 1;
    uint64_t *times = (uint64_t *)((char *)shared + 4096);
    size_t bytes = read_once(path);

    for (size_t reader = 0; reader < readers; reader++) {
        pid_t child = fork();
        if (child < 0) fail("fork");
        if (child > 0) continue;
        uint64_t *own = times + reader * rounds;
        for (int warm = 0; warm < 10; warm++) read_once(path);
        atomic_fetch_add(ready, 1);
        while (!atomic_load(gate)) sched_yield();
        for (size_t round = 0; round < rounds; round++) {
            uint64_t begin = now();
            read_once(path);
            own[round] = now() - begin;
        }
        _exit(0);
    }
    while (atomic_load(ready) < readers) {
        if (waitpid(-1, NULL, WNOHANG) > 0) return 1;
        sched_yield();
    }
    uint64_t begin = now();
    atomic_store(gate, 1);
    for (size_t reader = 0; reader < readers; reader++) {
        int status;
        if (wait(&status) < 0 || status != 0) return 1;
    }
    uint64_t elapsed = now() - begin;

    size_t all = readers * rounds;
    uint64_t sum = 0;
    for (size_t index = 0; index < all; index++) sum += times[index];
    qsort(times, all, sizeof *times, ascending);
    printf("{\"mean_ns\":%llu,\"median_ns\":%llu,\"p99_ns\":%llu,\"per_second\":%.0f,\"bytes\":%zu}\n",
           (unsigned long long)(sum / all), (unsigned long long)times[all / 2],
           (unsigned long long)times[all * 99 / 100], (double)all * 1e9 / (double)elapsed, bytes);
    return 0;
}
