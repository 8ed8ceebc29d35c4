/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two independent witnesses of the moment a process ends, on CLOCK_BOOTTIME.
 *
 *	exit_time act CODE FILE		write the time to FILE, then exit with CODE at once
 *	exit_time watch PID		print the time at which a pidfd of PID became readable
 *
 * The true exit lies between the two: the first is taken before it, the second after it.
 */
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif

static unsigned long long now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_BOOTTIME, &t);
	return (unsigned long long)t.tv_sec * 1000000000ULL + (unsigned long long)t.tv_nsec;
}

static int act(int code, const char *path)
{
	/* Reserve the room first: nothing slow may come between the time and the exit. */
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	char text[32];
	int n;

	if (fd < 0 || pwrite(fd, "                       ", 23, 0) != 23) {
		perror(path);
		return 99;
	}
	n = snprintf(text, sizeof(text), "%llu\n", now_ns());
	if (pwrite(fd, text, (size_t)n, 0) != n)
		_exit(99);
	_exit(code);
}

static int watch(int pid)
{
	struct pollfd fd = { .fd = (int)syscall(SYS_pidfd_open, pid, 0), .events = POLLIN };

	if (fd.fd < 0) {
		perror("pidfd_open");
		return 1;
	}
	if (poll(&fd, 1, -1) != 1)
		return 1;
	printf("%llu\n", now_ns());
	return 0;
}

int main(int argc, char **argv)
{
	if (argc == 4 && strcmp(argv[1], "act") == 0)
		return act(atoi(argv[2]), argv[3]);
	if (argc == 3 && strcmp(argv[1], "watch") == 0)
		return watch(atoi(argv[2]));
	fprintf(stderr, "usage: %s act CODE FILE | watch PID\n", argv[0]);
	return 2;
}
