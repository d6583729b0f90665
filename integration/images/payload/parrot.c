/*
 * The process of the containers that are measured: says back what it is told, ends on SIGTERM. Small and static, so that what is
 * measured is the making of a container and not the start of its program.
 */
#include <signal.h>
#include <unistd.h>

static void end(int signal_number) {
	(void)signal_number;
	_exit(0);
}

static int say(const char *text, ssize_t length) {
	while (length > 0) {
		ssize_t said = write(STDOUT_FILENO, text, (size_t)length);
		if (said < 0)
			return -1;
		text += said;
		length -= said;
	}
	return 0;
}

int main(void) {
	static char heard[4096];
	ssize_t length;

	signal(SIGTERM, end);
	while ((length = read(STDIN_FILENO, heard, sizeof heard)) > 0)
		if (say(heard, length) < 0)
			return 1;
	/* Nobody is there to tell it anything. */
	for (;;)
		pause();
}
