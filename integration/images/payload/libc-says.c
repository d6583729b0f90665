/*
 * What a C library tells its programs about the machine, as `name value` lines. Sizes in KiB. Where a library answers from is its
 * own business: musl asks sysinfo(2) for memory and load, glibc reads files for some of it.
 */
#define _GNU_SOURCE
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/sysinfo.h>
#include <time.h>
#include <unistd.h>

static void say(const char *name, long value) {
	printf("%s %ld\n", name, value);
}

int main(void) {
	long page_kib = sysconf(_SC_PAGESIZE) / 1024;
	say("processors_online", sysconf(_SC_NPROCESSORS_ONLN));
	say("processors_configured", sysconf(_SC_NPROCESSORS_CONF));
	say("physical_kib", sysconf(_SC_PHYS_PAGES) * page_kib);
	say("available_kib", sysconf(_SC_AVPHYS_PAGES) * page_kib);

	cpu_set_t allowed;
	if (sched_getaffinity(0, sizeof allowed, &allowed) != 0)
		return 1;
	say("affinity", CPU_COUNT(&allowed));

	double load[3];
	if (getloadavg(load, 3) != 3)
		return 1;
	printf("load %.2f %.2f %.2f\n", load[0], load[1], load[2]);

	struct sysinfo info;
	if (sysinfo(&info) != 0)
		return 1;
	say("sysinfo_total_kib", (long)((unsigned long long)info.totalram * info.mem_unit / 1024));
	say("sysinfo_free_kib", (long)((unsigned long long)info.freeram * info.mem_unit / 1024));
	say("sysinfo_swap_kib", (long)((unsigned long long)info.totalswap * info.mem_unit / 1024));
	say("sysinfo_uptime", info.uptime);
	say("sysinfo_processes", info.procs);

	struct timespec boot;
	if (clock_gettime(CLOCK_BOOTTIME, &boot) != 0)
		return 1;
	say("clock_uptime", boot.tv_sec);
	return 0;
}
