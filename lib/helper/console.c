/* SPDX-License-Identifier: Apache-2.0 */
/* Takes the master of the terminal from the OCI runtime. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "helper.h"

/* The first descriptor of the message; -EAGAIN: nothing has come; -EBADMSG: something else has. */
static int receive(int socket)
{
	char text[4096];
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec iov = { .iov_base = text, .iov_len = sizeof(text) };
	struct msghdr message = { .msg_iov = &iov,
				  .msg_iovlen = 1,
				  .msg_control = &control,
				  .msg_controllen = sizeof(control) };
	struct cmsghdr *c;
	int fd = -EBADMSG;

	if (recvmsg(socket, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC) < 0)
		return -errno;
	c = CMSG_FIRSTHDR(&message);
	if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS &&
	    c->cmsg_len == CMSG_LEN(sizeof(int)))
		memcpy(&fd, CMSG_DATA(c), sizeof(fd));
	return fd;
}

static void take_master(struct helper *h, int fd)
{
	unsigned int number;

	if (ioctl(fd, TIOCGPTN, &number) < 0 || fcntl(fd, F_SETFL, O_RDWR | O_NONBLOCK) < 0 ||
	    helper_watch(h, fd, EVENT_DATA, true) < 0) {
		close(fd);
		return;
	}
	h->master = fd;
	helper_drop(h, &h->runtime);
	helper_drop(h, &h->console);
}

void console_serve(struct helper *h)
{
	int fd;

	if (h->runtime < 0) {
		h->runtime = accept4(h->console, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (h->runtime < 0 || helper_watch(h, h->runtime, EVENT_CONSOLE, false) < 0) {
			helper_drop(h, &h->runtime);
			return;
		}
	}
	fd = receive(h->runtime);
	if (fd >= 0)
		take_master(h, fd);
	else if (fd != -EAGAIN)
		/* One that sent something else, or nothing: the next may. */
		helper_drop(h, &h->runtime);
}
