/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How the library starts embedshim-io and what it asks it for. A helper lives as long as its
 * container, so it may be of an older build than the library that asks: what is here only grows.
 */
#ifndef ES_IO_PROTOCOL_H
#define ES_IO_PROTOCOL_H

#include <stdint.h>

/* Descriptors it is started with: embedshim-io MODE NAMESPACE ID [EXEC]. MODE is one of: */
#define ES_IO_MODE_TERMINAL "terminal"
#define ES_IO_MODE_STDIN    "stdin"

enum es_io_fd {
	ES_IO_OUT = 1,	   /* where a terminal's output goes, or the container's stdin pipe */
	ES_IO_CONTROL = 3, /* bound datagram socket for requests */
	ES_IO_LIFELINE,	   /* at its end nobody is making the container any more */
	ES_IO_CONSOLE,	   /* listening socket for the terminal's master; closed: no terminal */
};

enum es_io_command {
	ES_IO_RESIZE = 1,  /* columns a, rows b */
	ES_IO_CLOSE_STDIN, /* end of file once the FIFO has no writer and is drained */
	ES_IO_WATCH,	   /* with a pidfd: end with that process */
	ES_IO_STDIN,	   /* with both ends of the input's FIFO, read and write: begin to read */
};

#define ES_IO_REQUEST_FDS 3

/* One datagram, with a socket for the reply as its first descriptor. */
struct es_io_request {
	uint32_t command; /* enum es_io_command */
	uint32_t a, b;
};

struct es_io_reply {
	int32_t result; /* 0 or a negative errno; -ENOSYS: a command it does not know */
};

#endif
