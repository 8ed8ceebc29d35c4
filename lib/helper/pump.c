/* SPDX-License-Identifier: Apache-2.0 */
/* Moves bytes from one descriptor to another, neither of which blocks. */
#include "pump.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Of a pipe's default size. */
#define SPLICE_SIZE 65536

static enum pump_result failed(enum pump_result otherwise)
{
	if (errno == EINTR)
		return PUMP_MOVED;
	return errno == EAGAIN ? PUMP_IDLE : otherwise;
}

enum pump_result pump_move(struct pump *p, int from, int to)
{
	ssize_t n;

	if (p->start == p->end) {
		n = read(from, p->buffer, p->size);
		if (n <= 0)
			return n < 0 ? failed(PUMP_END) : PUMP_END;
		p->start = 0;
		p->end = (size_t)n;
	}
	if (to < 0) {
		p->start = p->end;
		return PUMP_MOVED;
	}
	n = write(to, p->buffer + p->start, p->end - p->start);
	if (n >= 0) {
		p->start += (size_t)n;
		return n > 0 ? PUMP_MOVED : PUMP_IDLE;
	}
	if (failed(PUMP_BROKEN) != PUMP_BROKEN)
		return failed(PUMP_BROKEN);
	p->start = p->end;
	return PUMP_BROKEN;
}

enum pump_result pump_splice(int from, int to)
{
	ssize_t n = syscall(SYS_splice, from, NULL, to, NULL, (size_t)SPLICE_SIZE,
			    SPLICE_F_NONBLOCK | SPLICE_F_MOVE);

	if (n > 0)
		return PUMP_MOVED;
	return n == 0 ? PUMP_END : failed(PUMP_BROKEN);
}
