/* SPDX-License-Identifier: Apache-2.0 */
/* A process as one value that cannot be confused with another: pid, pidfd, start time, pidfs inode.
 */
#include "pidref.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>

#include "clock.h"

/* include/uapi/linux/magic.h, Linux 6.9: a pidfd's inode number is unique until the next boot. */
#define PID_FS_SUPER_MAGIC 0x50494446

/* include/uapi/linux/pidfd.h: struct pidfd_info of Linux 6.15, 64 + 16 bytes. */
struct pidfd_info_exit {
	uint64_t mask;
	uint64_t cgroup_id;
	uint32_t pid, tgid, ppid;
	uint32_t credentials[8];
	int32_t exit_code;
	uint32_t coredump_mask;
	uint32_t spare;
};
_Static_assert(sizeof(struct pidfd_info_exit) == 72, "layout of struct pidfd_info");
#define PIDFD_GET_INFO_EXIT _IOWR(0xff, 11, struct pidfd_info_exit)
#define PIDFD_INFO_EXIT_BIT (1ULL << 3)

static int pidfd_open(pid_t pid)
{
	int fd = (int)syscall(SYS_pidfd_open, pid, 0);

	return fd < 0 ? es_neg_errno() : fd;
}

/* Field 22 of /proc/<pid>/stat, counted from behind the name, which may hold anything. */
static int read_start_ticks(pid_t pid, uint64_t *ret)
{
	char path[32], text[1024], *p;
	cleanup_fd int fd = -EBADF;
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? -ESRCH : es_neg_errno();
	n = read(fd, text, sizeof(text) - 1);
	if (n <= 0)
		return n < 0 ? es_neg_errno() : -ESRCH;
	text[n] = '\0';
	p = strrchr(text, ')');
	for (int field = 2; p && field < 22; field++)
		p = strchr(p + 1, ' ');
	if (!p)
		return -EIO;
	*ret = strtoull(p + 1, NULL, 10);
	return 0;
}

static uint64_t pidfs_inode(int fd)
{
	struct statfs fs;
	struct stat st;

	if (fstatfs(fd, &fs) < 0 || fs.f_type != PID_FS_SUPER_MAGIC || fstat(fd, &st) < 0)
		return 0;
	return st.st_ino;
}

/* pidfd_send_signal(2) finds a zombie, and not a process that has been reaped. */
static bool exists(int fd)
{
	return syscall(SYS_pidfd_send_signal, fd, 0, NULL, 0) == 0 || errno == EPERM;
}

int es_pidref_open(struct es_pidref *ref, pid_t pid)
{
	uint64_t ticks = 0;
	int fd, r;

	if (pid <= 0)
		return -ESRCH;
	fd = pidfd_open(pid);
	if (fd < 0)
		return fd == -EINVAL ? -ESRCH : fd;
	r = read_start_ticks(pid, &ticks);
	/* Still there after /proc was read: then the number was this process's all the time. */
	if (r == 0 && !exists(fd))
		r = -ESRCH;
	if (r < 0) {
		es_close(fd);
		return r;
	}
	*ref = (struct es_pidref){
		.pid = pid, .fd = fd, .start_ticks = ticks, .inode = pidfs_inode(fd)
	};
	return 0;
}

int es_pidref_reopen(struct es_pidref *ref, pid_t pid, uint64_t start_ticks, uint64_t inode)
{
	struct es_pidref found;
	int r;

	r = es_pidref_open(&found, pid);
	if (r < 0)
		return r;
	if ((start_ticks && found.start_ticks != start_ticks) ||
	    (inode && found.inode && found.inode != inode)) {
		es_close(found.fd);
		return -ESRCH;
	}
	*ref = found;
	return 0;
}

void es_pidref_close(struct es_pidref *ref)
{
	es_close(ref->fd);
	*ref = ES_PIDREF_UNSET;
}

bool es_pidref_has_exited(const struct es_pidref *ref)
{
	struct pollfd fd = { .fd = ref->fd, .events = POLLIN };

	return ref->fd < 0 || poll(&fd, 1, 0) > 0;
}

int es_pidref_signal(const struct es_pidref *ref, int signal)
{
	if (ref->fd < 0)
		return -ESRCH;
	return syscall(SYS_pidfd_send_signal, ref->fd, signal, NULL, 0) < 0 ? es_neg_errno() : 0;
}

int es_pidref_wait(const struct es_pidref *ref, uint64_t deadline_ns)
{
	struct pollfd fd = { .fd = ref->fd, .events = POLLIN };

	for (;;) {
		int timeout_ms = es_deadline_poll_ms(deadline_ns);
		int r = poll(&fd, 1, timeout_ms);

		if (r > 0)
			return 0;
		if (r < 0 && errno != EINTR)
			return es_neg_errno();
		if (timeout_ms == 0)
			return -ETIMEDOUT;
	}
}

/* A wait status from what waitid(2) says in pieces. */
static int join_status(const siginfo_t *info)
{
	switch (info->si_code) {
	case CLD_EXITED:
		return (info->si_status & 0xff) << 8;
	case CLD_DUMPED:
		return (info->si_status & 0x7f) | 0x80;
	default:
		return info->si_status & 0x7f;
	}
}

int es_pidref_take_status(const struct es_pidref *ref, bool reap, int *status)
{
	const int flags = WEXITED | WNOHANG | __WALL | (reap ? 0 : WNOWAIT);
	struct pidfd_info_exit info = { .mask = PIDFD_INFO_EXIT_BIT };
	siginfo_t child = { 0 };

	if (ref->fd < 0)
		return -ENODATA;
	if (!es_pidref_has_exited(ref))
		return -EAGAIN;
	if (waitid((idtype_t)P_PIDFD, (id_t)ref->fd, &child, flags) == 0 && child.si_pid) {
		*status = join_status(&child);
		return 0;
	}
	if (ioctl(ref->fd, PIDFD_GET_INFO_EXIT, &info) < 0 || !(info.mask & PIDFD_INFO_EXIT_BIT))
		return -ENODATA;
	*status = info.exit_code;
	return 0;
}

int es_pidref_program(const struct es_pidref *ref, uint64_t *dev, uint64_t *inode)
{
	char path[32];
	struct stat st;

	snprintf(path, sizeof(path), "/proc/%d/exe", ref->pid);
	if (stat(path, &st) < 0)
		return errno == ENOENT ? -ESRCH : es_neg_errno();
	*dev = st.st_dev;
	*inode = st.st_ino;
	return 0;
}
