/*
 * The floor of the runtime-only benchmark: one container's life in bare system calls, with no look at anything.
 *
 * Does what the benchmark's bundle (src/bench/runtime_only/bundle.rs) asks the kernel for, in the fewest calls: cgroup,
 * namespaces, mounts, device nodes, masked and read-only paths, pivot_root, capabilities, execve, wait, cgroup gone.
 * No configuration is read, nothing is resolved or verified. What a runtime needs beyond this is its own cost.
 *
 *     floor ROOTFS CGROUP     one life per line of standard input, answered by a line: its nanoseconds
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/sched.h>
#include <poll.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* CAP_CHOWN and its thirteen companions: what containerd gives an ordinary container. */
#define KEPT 0xa80425fbULL
#define LAST_CAPABILITY 40

static void check(long result, const char *what)
{
	if (result < 0) {
		fprintf(stderr, "floor: %s: %s\n", what, strerror(errno));
		_exit(1);
	}
}

static void node(const char *path, unsigned major_number, unsigned minor_number)
{
	check(mknod(path, S_IFCHR | 0666, makedev(major_number, minor_number)), path);
}

static void mask(const char *path)
{
	struct stat status;
	if (stat(path, &status) < 0)
		return;
	if (S_ISDIR(status.st_mode))
		check(mount("tmpfs", path, "tmpfs", MS_RDONLY, ""), path);
	else
		check(mount("dev/null", path, "", MS_BIND, NULL), path);
}

static void read_only(const char *path)
{
	if (mount(path, path, "", MS_BIND | MS_REC, NULL) < 0)
		return;
	check(mount("", path, "", MS_BIND | MS_REMOUNT | MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL), path);
}

static void drop_capabilities(void)
{
	for (int capability = 0; capability <= LAST_CAPABILITY; capability++)
		if (!(KEPT >> capability & 1))
			check(prctl(PR_CAPBSET_DROP, capability, 0, 0, 0), "PR_CAPBSET_DROP");
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2] = {{.effective = KEPT, .permitted = KEPT}};
	check(syscall(SYS_capset, &header, data), "capset");
	check(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "PR_SET_NO_NEW_PRIVS");
}

static void container(const char *rootfs)
{
	const unsigned long plain = MS_NOSUID | MS_NOEXEC | MS_NODEV;
	char *arguments[] = {"/bin/true", NULL}, *environment[] = {"PATH=/bin", NULL};

	check(setsid(), "setsid");
	check(unshare(CLONE_NEWCGROUP), "unshare the cgroup namespace");
	check(sethostname("bench", 5), "sethostname");
	check(mount("", "/", "", MS_REC | MS_PRIVATE, NULL), "make / private");
	check(mount(rootfs, rootfs, "", MS_BIND | MS_REC, NULL), "bind the rootfs");
	check(chdir(rootfs), "chdir");
	check(mount("proc", "proc", "proc", plain, NULL), "proc");
	check(mount("tmpfs", "dev", "tmpfs", MS_NOSUID | MS_STRICTATIME, "mode=755,size=65536k"), "dev");
	check(mkdir("dev/pts", 0755) | mkdir("dev/shm", 0755) | mkdir("dev/mqueue", 0755), "mkdir in dev");
	check(mount("devpts", "dev/pts", "devpts", MS_NOSUID | MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620,gid=5"), "devpts");
	check(mount("shm", "dev/shm", "tmpfs", plain, "mode=1777,size=65536k"), "shm");
	check(mount("mqueue", "dev/mqueue", "mqueue", plain, NULL), "mqueue");
	check(mount("sysfs", "sys", "sysfs", plain | MS_RDONLY, NULL), "sysfs");
	umask(0);
	node("dev/null", 1, 3);
	node("dev/zero", 1, 5);
	node("dev/full", 1, 7);
	node("dev/random", 1, 8);
	node("dev/urandom", 1, 9);
	node("dev/tty", 5, 0);
	check(symlink("/proc/self/fd", "dev/fd") | symlink("/proc/self/fd/0", "dev/stdin") |
		      symlink("/proc/self/fd/1", "dev/stdout") | symlink("/proc/self/fd/2", "dev/stderr") |
		      symlink("pts/ptmx", "dev/ptmx"),
	      "symlink in dev");
	const char *masked[] = {"proc/acpi", "proc/kcore", "proc/keys", "proc/timer_list", "proc/scsi", "sys/firmware"};
	const char *fixed[] = {"proc/bus", "proc/fs", "proc/irq", "proc/sys", "proc/sysrq-trigger"};
	for (size_t i = 0; i < sizeof fixed / sizeof *fixed; i++)
		read_only(fixed[i]);
	for (size_t i = 0; i < sizeof masked / sizeof *masked; i++)
		mask(masked[i]);
	check(syscall(SYS_pivot_root, ".", "."), "pivot_root");
	check(umount2(".", MNT_DETACH), "umount the old root");
	check(chdir("/"), "chdir /");
	umask(022);
	drop_capabilities();
	execve(arguments[0], arguments, environment);
	check(-1, "execve");
}

static void life(const char *rootfs, const char *cgroup)
{
	int pidfd = -1, directory, status;
	check(mkdir(cgroup, 0755), "mkdir the cgroup");
	directory = open(cgroup, O_PATH | O_DIRECTORY | O_CLOEXEC);
	check(directory, "open the cgroup");
	struct clone_args arguments = {
		.flags = CLONE_PIDFD | CLONE_INTO_CGROUP | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWNET,
		.pidfd = (uintptr_t)&pidfd,
		.exit_signal = SIGCHLD,
		.cgroup = (unsigned)directory,
	};
	pid_t pid = syscall(SYS_clone3, &arguments, sizeof arguments);
	check(pid, "clone3");
	if (pid == 0)
		container(rootfs);
	check(waitpid(pid, &status, 0), "waitpid");
	close(pidfd);
	close(directory);
	check(rmdir(cgroup), "rmdir the cgroup");
	if (status != 0) {
		fprintf(stderr, "floor: the container ended with status %#x\n", (unsigned)status);
		exit(1);
	}
}

int main(int count, char **arguments)
{
	char line[16];
	if (count != 3) {
		fputs("usage: floor ROOTFS CGROUP\n", stderr);
		return 2;
	}
	while (fgets(line, sizeof line, stdin)) {
		struct timespec start, end;
		clock_gettime(CLOCK_MONOTONIC, &start);
		life(arguments[1], arguments[2]);
		clock_gettime(CLOCK_MONOTONIC, &end);
		printf("%lld\n", (end.tv_sec - start.tv_sec) * 1000000000LL + (end.tv_nsec - start.tv_nsec));
		fflush(stdout);
	}
	return 0;
}
