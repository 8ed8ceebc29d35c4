/* SPDX-License-Identifier: Apache-2.0 */
/* Standard streams that are given to the container directly. */
#ifndef ES_TASK_IO_H
#define ES_TASK_IO_H

#include <embedshim/base.h>

#include "util.h"

struct es_task_io {
	int fd[3]; /* stdin, stdout, stderr; -EBADF: null */
};

#define ES_TASK_IO_NULL ((struct es_task_io){ .fd = { -EBADF, -EBADF, -EBADF } })

/*
 * Open the streams as task.h describes them. paths[i]: NULL or "" null, absolute path FIFO
 * (O_RDWR, so neither open nor the container ever waits for a reader to appear; -EINVAL if it is
 * not a FIFO), "file:///path" append (0644; one open description when stdout and stderr name the
 * same file). Anything else, and any stdin: -EOPNOTSUPP, -EINVAL for a malformed URI. Percent
 * escapes in file:// are decoded. error names the stream and the path.
 */
ES_HIDDEN int es_task_io_open(struct es_task_io *io, const char *const paths[3],
			      struct es_error *error);
ES_HIDDEN void es_task_io_close(struct es_task_io *io);

#endif
