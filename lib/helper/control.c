/* SPDX-License-Identifier: Apache-2.0 */
/* Serves the library's requests: one datagram each, which carries the socket for its reply. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../io_protocol.h"
#include "helper.h"

struct received {
	struct es_io_request request;
	int fd[ES_IO_REQUEST_FDS]; /* the reply's socket, and what the command is about */
};

/* 0, or -1: there is none, or not one of ours. */
static int receive(int socket, struct received *r)
{
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(r->fd))];
	} control;
	struct iovec iov = { .iov_base = &r->request, .iov_len = sizeof(r->request) };
	struct msghdr message = { .msg_iov = &iov,
				  .msg_iovlen = 1,
				  .msg_control = &control,
				  .msg_controllen = sizeof(control) };
	struct cmsghdr *c;
	ssize_t n;

	memset(r, 0, sizeof(*r));
	for (int i = 0; i < ES_IO_REQUEST_FDS; i++)
		r->fd[i] = -1;
	n = recvmsg(socket, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	if (n < 0)
		return -1;
	c = CMSG_FIRSTHDR(&message);
	/* The kernel closes what does not fit. */
	if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS)
		memcpy(r->fd, CMSG_DATA(c), c->cmsg_len - CMSG_LEN(0));
	return (size_t)n < sizeof(r->request) ? -1 : 0;
}

static int resize(const struct helper *h, const struct es_io_request *request)
{
	struct winsize size = { .ws_col = (unsigned short)request->a,
				.ws_row = (unsigned short)request->b };

	if (h->master < 0)
		return -ENOTTY;
	/* The kernel sends SIGWINCH. */
	return ioctl(h->master, TIOCSWINSZ, &size) < 0 ? -errno : 0;
}

/* Who makes the container has made it, and this is its process. */
static int watch(struct helper *h, int *process)
{
	int r;

	if (*process < 0)
		return -EBADF;
	if (h->process >= 0)
		return 0;
	r = helper_watch(h, *process, EVENT_PROCESS, false);
	if (r < 0)
		return r;
	h->process = *process;
	*process = -1;
	helper_drop(h, &h->lifeline);
	return 0;
}

static int take_input(struct helper *h, int *in, int *keep)
{
	int r;

	if (*in < 0 || *keep < 0)
		return -EBADF;
	/* A start that is repeated. */
	if (h->input_given)
		return 0;
	r = helper_watch(h, *in, EVENT_DATA, true);
	if (r < 0)
		return r;
	h->input_given = true;
	h->in = *in;
	*in = -1;
	if (!h->input_closed) {
		h->keep = *keep;
		*keep = -1;
	}
	return 0;
}

static int serve(struct helper *h, struct received *r)
{
	switch (r->request.command) {
	case ES_IO_RESIZE:
		return resize(h, &r->request);
	case ES_IO_CLOSE_STDIN:
		/* What clients have written, or are still writing, comes first. */
		h->input_closed = true;
		helper_drop(h, &h->keep);
		return 0;
	case ES_IO_WATCH:
		return watch(h, &r->fd[1]);
	case ES_IO_STDIN:
		return take_input(h, &r->fd[1], &r->fd[2]);
	default:
		return -ENOSYS;
	}
}

void control_serve(struct helper *h)
{
	struct es_io_reply reply;
	struct iovec iov = { .iov_base = &reply, .iov_len = sizeof(reply) };
	const struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct received r;

	if (receive(h->control, &r) == 0) {
		reply.result = serve(h, &r);
		/* Who does not wait for it, or gave us something else, gets none. */
		sendmsg(r.fd[0], &message, MSG_DONTWAIT | MSG_NOSIGNAL);
	}
	for (int i = 0; i < ES_IO_REQUEST_FDS; i++)
		helper_drop(h, &r.fd[i]);
}
