/* SPDX-License-Identifier: Apache-2.0 */
/* Starts embedshim-io, and asks it for things through its socket. */
#include "io_helper.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "clock.h"
#include "error.h"
#include "spawn.h"

/* It does nothing that takes long; one that is frozen must not hold its caller for ever. */
#define ANSWER_MS 5000

/* Whatever the length of dir, this one fits into sun_path. */
static void socket_address(int dir_fd, const char *name, struct sockaddr_un *ret)
{
	*ret = (struct sockaddr_un){ .sun_family = AF_UNIX };
	snprintf(ret->sun_path, sizeof(ret->sun_path), "/proc/self/fd/%d/%s", dir_fd, name);
}

/* A socket that is bound to dir/name. */
static int bound_socket(int dir_fd, const char *name, int type)
{
	cleanup_fd int fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_un address;

	if (fd < 0)
		return es_neg_errno();
	socket_address(dir_fd, name, &address);
	/* Of an earlier try. */
	unlinkat(dir_fd, name, 0);
	/* The mode of the socket becomes that of the file, less the umask. */
	if (fchmod(fd, 0600) < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		return es_neg_errno();
	if (type == SOCK_STREAM && listen(fd, 4) < 0)
		return es_neg_errno();
	return TAKE_FD(fd);
}

static int spawn(const struct es_io_helper_opts *opts, const int *more, size_t n,
		 struct es_pidref *ret)
{
	static const char *const no_env[] = { NULL };
	const char *argv[6] = { "embedshim-io", opts->mode };
	struct es_spawn s = {
		.program = opts->program,
		.argv = (char *const *)(uintptr_t)argv,
		.env = no_env,
		.cwd = opts->dir,
		.fd = { -EBADF, opts->out, -EBADF },
		.more_fd = more,
		.more = n,
		.mark_prog_fd = -EBADF,
	};

	for (int i = 0; i < 3 && opts->name[i]; i++)
		argv[2 + i] = opts->name[i];
	return es_spawn_lasting(&s, ret);
}

static int start(const struct es_io_helper_opts *opts, struct es_pidref *ret, int *lifeline)
{
	cleanup_fd int dir_fd = -EBADF, control = -EBADF, console = -EBADF, end = -EBADF;
	int fds[2], r;

	dir_fd = open(opts->dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (dir_fd < 0)
		return es_neg_errno();
	control = bound_socket(dir_fd, ES_IO_CONTROL_SOCKET, SOCK_DGRAM);
	if (control < 0)
		return control;
	if (strcmp(opts->mode, ES_IO_MODE_TERMINAL) == 0) {
		console = bound_socket(dir_fd, ES_IO_CONSOLE_SOCKET, SOCK_STREAM);
		if (console < 0)
			return console;
	}
	if (pipe2(fds, O_CLOEXEC) < 0)
		return es_neg_errno();
	end = fds[0];
	r = spawn(opts, (const int[]){ control, end, console }, 3, ret);
	if (r < 0)
		es_close(fds[1]);
	else
		*lifeline = fds[1];
	return r;
}

int es_io_helper_start(const struct es_io_helper_opts *opts, struct es_pidref *ret, int *lifeline,
		       struct es_error *error)
{
	int r = start(opts, ret, lifeline);

	return r < 0 ? es_error_set_errno(error, r, "cannot run %s", opts->program) : r;
}

/* Asking */

static int connect_to(const char *dir)
{
	cleanup_fd int dir_fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	cleanup_fd int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_un address;

	if (dir_fd < 0 || fd < 0)
		return es_neg_errno();
	socket_address(dir_fd, ES_IO_CONTROL_SOCKET, &address);
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		return es_neg_errno();
	return TAKE_FD(fd);
}

static int wait_for(int fd, short events, uint64_t deadline_ns)
{
	struct pollfd p = { .fd = fd, .events = events };
	int r;

	do
		r = poll(&p, 1, es_deadline_poll_ms(deadline_ns));
	while (r < 0 && errno == EINTR);
	return r < 0 ? es_neg_errno() : r == 0 ? -ETIMEDOUT : 0;
}

static int send_request(int socket, const struct es_io_request *request, const int *fds, size_t n,
			uint64_t deadline_ns)
{
	const size_t size = n * sizeof(int);
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(ES_IO_REQUEST_FDS * sizeof(int))];
	} control = { 0 };
	struct iovec iov = { .iov_base = (void *)(uintptr_t)request, .iov_len = sizeof(*request) };
	struct msghdr message = { .msg_iov = &iov,
				  .msg_iovlen = 1,
				  .msg_control = &control,
				  .msg_controllen = CMSG_SPACE(size) };
	int r;

	control.header.cmsg_level = SOL_SOCKET;
	control.header.cmsg_type = SCM_RIGHTS;
	control.header.cmsg_len = CMSG_LEN(size);
	memcpy(CMSG_DATA(&control.header), fds, size);
	for (;;) {
		if (sendmsg(socket, &message, MSG_NOSIGNAL) >= 0)
			return 0;
		if (errno != EAGAIN && errno != EINTR)
			return es_neg_errno();
		r = wait_for(socket, POLLOUT, deadline_ns);
		if (r < 0)
			return r;
	}
}

int es_io_helper_ask(const char *dir, const struct es_io_request *request, const int *fds, size_t n)
{
	uint64_t deadline = es_deadline_after_ms(ANSWER_MS);
	cleanup_fd int socket = connect_to(dir), ours = -EBADF, theirs = -EBADF;
	int pair[2], sent[ES_IO_REQUEST_FDS], r;
	struct es_io_reply reply;

	if (socket < 0)
		return socket;
	if (n >= ES_IO_REQUEST_FDS)
		return -EINVAL;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
		return es_neg_errno();
	ours = pair[0];
	theirs = pair[1];
	sent[0] = theirs;
	for (size_t i = 0; i < n; i++)
		sent[i + 1] = fds[i];
	r = send_request(socket, request, sent, n + 1, deadline);
	/* Only it has the other end now: if it dies before it answers, that is the end of the file.
	 */
	es_close(TAKE_FD(theirs));
	if (r == 0)
		r = wait_for(ours, POLLIN, deadline);
	if (r < 0)
		return r;
	return recv(ours, &reply, sizeof(reply), 0) == sizeof(reply) ? reply.result : -EPIPE;
}
