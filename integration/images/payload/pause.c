/* The sandbox's first process: keeps the pod's namespaces, reaps what the pod leaves behind, ends on SIGTERM or SIGINT. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static void end(int signal_number) {
	(void)signal_number;
	_exit(0);
}

static void reap(int signal_number) {
	(void)signal_number;
	while (waitpid(-1, NULL, WNOHANG) > 0) {
	}
}

static void handle(int signal_number, void (*handler)(int), int flags) {
	struct sigaction action = {.sa_handler = handler, .sa_flags = flags};
	if (sigaction(signal_number, &action, NULL) != 0) {
		perror("pause: sigaction");
		exit(1);
	}
}

int main(void) {
	handle(SIGINT, end, 0);
	handle(SIGTERM, end, 0);
	handle(SIGCHLD, reap, SA_NOCLDSTOP);
	for (;;) {
		pause();
	}
}
