/* SPDX-License-Identifier: Apache-2.0 */
/*
 * embedshim-io: holds the terminal, or the standard input, of one interactive container or exec and
 * moves bytes between it and the client's FIFOs. The library starts it (io_protocol.h), it outlives
 * the library, and it ends with its process.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../io_protocol.h"
#include "confine.h"
#include "helper.h"

/* Moves in a row before we look at anything else. */
#define MOVES_MAX 16

static const char usage[] = "usage: embedshim-io is started by libembedshim\n";
static char output_buffer[32768], input_buffer[4096];

int helper_watch(const struct helper *h, int fd, enum helper_event event, bool edge)
{
	struct epoll_event e = { .data.u32 = event };

	e.events = edge ? EPOLLIN | EPOLLOUT | EPOLLET : EPOLLIN;
	return epoll_ctl(h->epoll, EPOLL_CTL_ADD, fd, &e) < 0 ? -errno : 0;
}

void helper_drop(const struct helper *h, int *fd)
{
	if (*fd < 0)
		return;
	/* The library may have the same description open, which keeps the watch. */
	epoll_ctl(h->epoll, EPOLL_CTL_DEL, *fd, NULL);
	close(*fd);
	*fd = -1;
}

/* Standard input is over, also for the client. */
static void drop_input(struct helper *h)
{
	helper_drop(h, &h->in);
	helper_drop(h, &h->keep);
}

/* Whether something was moved. */
static bool move_terminal(struct helper *h)
{
	bool moved = false;

	if (h->master < 0)
		return false;
	switch (pump_move(&h->output, h->master, h->out)) {
	case PUMP_MOVED:
		h->hung_up = false;
		moved = true;
		break;
	case PUMP_BROKEN: /* a logger that has gone: the container must not wait for it */
		helper_drop(h, &h->out);
		moved = true;
		break;
	case PUMP_END: /* no process has it open; one of the container may open it again */
		h->hung_up = true;
		break;
	case PUMP_IDLE:
		h->hung_up = false;
		break;
	}
	if (h->in < 0)
		return moved;
	switch (pump_move(&h->input, h->in, h->master)) {
	case PUMP_MOVED:
	case PUMP_BROKEN: /* typed while nobody has it open */
		return true;
	case PUMP_END:
		drop_input(h);
		break;
	case PUMP_IDLE:
		break;
	}
	return moved;
}

static bool move_stdin(struct helper *h)
{
	if (h->out < 0 || h->in < 0)
		return false;
	switch (pump_splice(h->in, h->out)) {
	case PUMP_MOVED:
		return true;
	case PUMP_END:
	case PUMP_BROKEN:
		drop_input(h);
		helper_drop(h, &h->out);
		break;
	case PUMP_IDLE:
		break;
	}
	return false;
}

static bool move(struct helper *h)
{
	bool moved = false;

	for (int i = 0; i < MOVES_MAX; i++) {
		moved = h->terminal ? move_terminal(h) : move_stdin(h);
		if (!moved)
			break;
	}
	return moved;
}

/* Nothing could be moved: whether there will never be anything to do again. */
static bool is_over(struct helper *h)
{
	if (h->exited) {
		/* One that ended at once: the runtime has sent the terminal, we did not look yet.
		 */
		if (h->console >= 0)
			console_serve(h);
		if (h->master >= 0 && pump_move(&h->output, h->master, h->out) == PUMP_MOVED)
			return false;
		return h->output.start == h->output.end;
	}
	if (h->process >= 0 || h->lifeline >= 0)
		return false;
	/* Half made, and nobody is making it: only a process that has come to use us counts. */
	return h->terminal ? h->master < 0 || h->hung_up : h->out < 0;
}

static void serve_lifeline(struct helper *h)
{
	char dropped[256];
	ssize_t n = read(h->lifeline, dropped, sizeof(dropped));

	if (n == 0 || (n < 0 && errno != EAGAIN))
		helper_drop(h, &h->lifeline);
}

static void serve_event(struct helper *h, const struct epoll_event *event)
{
	switch ((enum helper_event)event->data.u32) {
	case EVENT_DATA:
		/* Of the pipe: its last reader has gone. A terminal tells when it is read. */
		if (!h->terminal && (event->events & EPOLLERR)) {
			drop_input(h);
			helper_drop(h, &h->out);
		}
		break;
	case EVENT_CONTROL:
		control_serve(h);
		break;
	case EVENT_LIFELINE:
		if (h->lifeline >= 0)
			serve_lifeline(h);
		break;
	case EVENT_CONSOLE:
		if (h->console >= 0)
			console_serve(h);
		break;
	case EVENT_PROCESS:
		h->exited = true;
		helper_drop(h, &h->process);
		if (!h->terminal)
			helper_drop(h, &h->out);
		break;
	}
}

static int run(struct helper *h)
{
	struct epoll_event events[8];

	for (;;) {
		bool moved = move(h);
		int n;

		if (!moved && is_over(h))
			return 0;
		n = epoll_wait(h->epoll, events, 8, moved ? 0 : -1);
		if (n < 0 && errno != EINTR)
			return 1;
		for (int i = 0; i < n; i++)
			serve_event(h, &events[i]);
	}
}

/* A number the library gave us, or -1; never blocks. */
static int adopt(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	return flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 ? -1 : fd;
}

static int set_up(struct helper *h, const char *mode)
{
	int r;

	h->terminal = strcmp(mode, ES_IO_MODE_TERMINAL) == 0;
	if (!h->terminal && strcmp(mode, ES_IO_MODE_STDIN) != 0)
		return -EINVAL;
	/* Before anything is opened: a number may be free. */
	h->control = adopt(ES_IO_CONTROL);
	h->lifeline = adopt(ES_IO_LIFELINE);
	h->console = adopt(ES_IO_CONSOLE);
	h->out = adopt(ES_IO_OUT);
	h->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (h->epoll < 0)
		return -errno;
	if (h->control < 0 || h->lifeline < 0 || (h->terminal && h->console < 0))
		return -EBADF;
	if ((r = helper_watch(h, h->control, EVENT_CONTROL, false)) < 0 ||
	    (r = helper_watch(h, h->lifeline, EVENT_LIFELINE, false)) < 0 ||
	    (h->terminal && (r = helper_watch(h, h->console, EVENT_CONSOLE, false)) < 0))
		return r;
	r = helper_watch(h, h->out, EVENT_DATA, true);
	/* A device always has room and cannot be watched. */
	return r == -EPERM ? 0 : r;
}

/* A reader that has gone is an error of write(2), not the end of us. */
static void block_sigpipe(void)
{
	const uint64_t set = 1ULL << (SIGPIPE - 1);

	syscall(SYS_rt_sigprocmask, SIG_BLOCK, &set, NULL, sizeof(set));
}

int main(int argc, char **argv)
{
	struct helper h = {
		.in = -1,
		.keep = -1,
		.runtime = -1,
		.master = -1,
		.process = -1,
		.input = { .buffer = input_buffer, .size = sizeof(input_buffer) },
		.output = { .buffer = output_buffer, .size = sizeof(output_buffer) },
	};
	int r;

	if (argc < 2) {
		if (write(2, usage, sizeof(usage) - 1) < 0)
			return 1;
		return 2;
	}
	block_sigpipe();
	r = set_up(&h, argv[1]);
	if (r == 0)
		r = confine();
	return r < 0 ? 1 : run(&h);
}
