/* SPDX-License-Identifier: Apache-2.0 */
/* One root, one owner: a lock on `<root>/lock` that tells who holds it. */
#include "root_lock.h"

#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/file.h>

#include "clock.h"
#include "error.h"
#include "fs.h"

#define HOLDER_GONE_WAIT_MS 1000

/* "pid 42 (containerd)" for messages, and the pid itself; 0 if the file does not say. */
static pid_t describe_holder(int fd, char *ret, size_t size)
{
	char text[64] = "", comm[32] = "", path[64];
	cleanup_fd int comm_fd = -EBADF;
	ssize_t n;
	long pid;

	snprintf(ret, size, "another process");
	n = pread(fd, text, sizeof(text) - 1, 0);
	if (n <= 0)
		return 0;
	pid = strtol(text, NULL, 10);
	if (pid <= 0 || pid > INT32_MAX)
		return 0;
	snprintf(path, sizeof(path), "/proc/%ld/comm", pid);
	comm_fd = open(path, O_RDONLY | O_CLOEXEC);
	if (comm_fd >= 0) {
		n = read(comm_fd, comm, sizeof(comm) - 1);
		comm[n > 0 ? n : 0] = '\0';
		comm[strcspn(comm, "\n")] = '\0';
	}
	snprintf(ret, size, "pid %ld%s%s%s", pid, *comm ? " (" : "", comm, *comm ? ")" : "");
	return (pid_t)pid;
}

static bool is_gone(pid_t pid)
{
	return pid > 0 && kill(pid, 0) < 0 && errno == ESRCH;
}

int es_root_lock(const char *root_dir, struct es_error *error)
{
	uint64_t deadline = es_deadline_after_ms(HOLDER_GONE_WAIT_MS);
	cleanup_free char *path = NULL;
	cleanup_fd int fd = -EBADF;
	char holder[128];
	int r;

	r = es_path_join(&path, root_dir, "lock");
	if (r < 0)
		return r;
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0) {
		r = es_neg_errno();
		return es_error_set_errno(error, r, "cannot open lock file %s", path);
	}
	/*
	 * A holder that was killed keeps the lock until the kernel has closed its descriptors, or
	 * until a child it was just starting has executed.
	 */
	while (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		struct timespec pause = { .tv_nsec = 5 * (long)NSEC_PER_MSEC };
		pid_t pid;

		if (errno != EWOULDBLOCK && errno != EINTR) {
			r = es_neg_errno();
			return es_error_set_errno(error, r, "cannot lock %s", path);
		}
		pid = describe_holder(fd, holder, sizeof(holder));
		if (!is_gone(pid) || es_deadline_poll_ms(deadline) == 0)
			return es_error_set(error, -EBUSY, "root directory %s is in use by %s",
					    root_dir, holder);
		nanosleep(&pause, NULL);
	}
	snprintf(holder, sizeof(holder), "%d\n", getpid());
	if (ftruncate(fd, 0) < 0 || pwrite(fd, holder, strlen(holder), 0) < 0) {
		/* A full disk only makes the message of the next caller poorer. */
	}
	return TAKE_FD(fd);
}

void es_root_unlock(int fd)
{
	flock(fd, LOCK_UN);
}
