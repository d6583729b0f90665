/* Installed set-uid root: tells whether its caller was allowed to gain that identity. */
#include <stdio.h>
#include <unistd.h>

int main(void) {
	printf("Effective uid: %u\n", (unsigned)geteuid());
	return 0;
}
