/* Runs PROGRAM with SETTINGS, a list of strings, added to its environment. */
#include <stdlib.h>
#include <unistd.h>

int main(int argc, char **argv) {
	static char *settings[] = {SETTINGS 0};
	for (char **s = settings; *s; s++)
		putenv(*s);
	argv[0] = PROGRAM;
	execv(PROGRAM, argv);
	return 127;
}
