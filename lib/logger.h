/* SPDX-License-Identifier: Apache-2.0 */
/* Starts the logger of a binary:// stream: containerd's protocol on descriptors 3, 4 and 5. */
#ifndef ES_LOGGER_H
#define ES_LOGGER_H

#include <embedshim/base.h>

#include "pidref.h"
#include "util.h"

struct es_logger_opts {
	const char *uri;
	const char *namespace_, *id; /* its whole environment */
	const char *cwd;
	int out, err; /* read ends of the container's streams; -EBADF: it reads an end at once */
};

struct es_logger {
	struct es_pidref process; /* start_ticks is filled */
	int ready;		  /* read end of the readiness pipe */
	bool ready_byte;	  /* logger_uri.h */
};

#define ES_LOGGER_UNSET ((struct es_logger){ .process = ES_PIDREF_UNSET, .ready = -EBADF })

/* Start it; what es_spawn() returns. error names the program. */
ES_HIDDEN int es_logger_start(const struct es_logger_opts *opts, struct es_logger *ret,
			      struct es_error *error);

/* Until it says that it is ready. -EIO: it does not, and has ended. -ETIMEDOUT. */
ES_HIDDEN int es_logger_wait(const struct es_logger *logger, uint64_t deadline_ns,
			     struct es_error *error);

ES_HIDDEN void es_logger_close(struct es_logger *logger);

#endif
