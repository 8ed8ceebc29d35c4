/* SPDX-License-Identifier: Apache-2.0 */
/* Starts embedshim-io, and asks it for things through its socket. */
#ifndef ES_IO_HELPER_H
#define ES_IO_HELPER_H

#include <embedshim/base.h>

#include "io_protocol.h"
#include "pidref.h"
#include "util.h"

#define ES_IO_CONTROL_SOCKET "io.sock"
#define ES_IO_CONSOLE_SOCKET "console.sock"

struct es_io_helper_opts {
	const char *program;
	const char *dir;	 /* where its sockets are made */
	const char *mode;	 /* io_protocol.h */
	const char *const *name; /* namespace, ID and exec ID for its command line, ended by NULL */
	int out;
};

/*
 * Make its sockets and start it. *lifeline (owned by the caller): it takes the closing of it, and
 * of every copy, as a sign that nobody makes the container any more. Its program's errno, named in
 * error, or what socket(2), bind(2) and es_spawn() say.
 */
ES_HIDDEN int es_io_helper_start(const struct es_io_helper_opts *opts, struct es_pidref *ret,
				 int *lifeline, struct es_error *error);

/*
 * Ask the helper of dir, with n (at most two) descriptors, and wait for its answer, which is
 * returned. -ENOENT: there never was one. -ECONNREFUSED, -EPIPE: it has ended. -ETIMEDOUT.
 */
ES_HIDDEN int es_io_helper_ask(const char *dir, const struct es_io_request *request, const int *fds,
			       size_t n);

#endif
