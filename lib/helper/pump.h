/* SPDX-License-Identifier: Apache-2.0 */
/* Moves bytes from one descriptor to another, neither of which blocks. */
#ifndef ES_HELPER_PUMP_H
#define ES_HELPER_PUMP_H

#include <stdbool.h>
#include <stddef.h>

struct pump {
	char *buffer;
	size_t size;
	size_t start, end; /* what was read and is not written yet */
};

enum pump_result {
	PUMP_IDLE,  /* nothing to read, or no room to write: wait */
	PUMP_MOVED, /* something was moved: call again */
	PUMP_END,   /* nothing is in the buffer, and from has no more for now (see errno) or ever */
	PUMP_BROKEN /* nobody reads what is written any more; the buffer is empty */
};

/* Read once if the buffer is empty, write once if it is not. to < 0: what is read is dropped. */
enum pump_result pump_move(struct pump *pump, int from, int to);

/* The same between two pipes, without a copy. PUMP_END: no writer is left and it is drained. */
enum pump_result pump_splice(int from, int to);

#endif
