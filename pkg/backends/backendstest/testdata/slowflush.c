/* Loaded into Postgres before the C library: each flush takes as many
 * milliseconds longer as the file that SLOWFLUSH_FILE names says at that moment. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static void wait_as_told(void) {
	const char *path = getenv("SLOWFLUSH_FILE");
	FILE *file = path ? fopen(path, "r") : NULL;
	long ms = 0;
	if (!file)
		return;
	if (fscanf(file, "%ld", &ms) != 1)
		ms = 0;
	fclose(file);
	struct timespec left = {ms / 1000, ms % 1000 * 1000000};
	while (nanosleep(&left, &left) == -1 && errno == EINTR)
		;
}

int fdatasync(int fd) {
	wait_as_told();
	return ((int (*)(int))dlsym(RTLD_NEXT, "fdatasync"))(fd);
}

int fsync(int fd) {
	wait_as_told();
	return ((int (*)(int))dlsym(RTLD_NEXT, "fsync"))(fd);
}
