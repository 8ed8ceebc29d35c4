/* SPDX-License-Identifier: Apache-2.0 */
/* Opens the standard streams of a task or an exec. */
#ifndef ES_TASK_IO_H
#define ES_TASK_IO_H

#include <embedshim/base.h>
#include <stdbool.h>

#include "util.h"

enum es_stream_kind { ES_STREAM_NULL, ES_STREAM_FIFO, ES_STREAM_FILE, ES_STREAM_LOGGER };

struct es_task_io {
	enum es_stream_kind kind[3];
	int fd[3]; /* stdin, stdout, stderr; -EBADF: null, or not opened here */
};

#define ES_TASK_IO_NULL ((struct es_task_io){ .fd = { -EBADF, -EBADF, -EBADF } })

/* What a path or URI says it is; a negative errno if nothing that we serve. NULL and "": null. */
ES_HIDDEN int es_stream_kind(const char *path);

/*
 * Open the streams as task.h describes them. stdout, stderr: a FIFO is opened O_RDWR, so neither
 * open nor the container ever waits for a reader to appear (-EINVAL if it is not a FIFO); file://
 * for appending (0644, missing directories 0755; one description when both name the same);
 * a logger's URI, and that stdin is a FIFO, are only checked.
 * A link at the path itself is not followed (-ELOOP), and nothing but what is served is opened.
 * Otherwise -ENOTSUP for a scheme we do not know, -EINVAL for what is malformed. error names the
 * stream and the path.
 */
ES_HIDDEN int es_task_io_open(struct es_task_io *io, const char *const paths[3],
			      struct es_error *error);
/* Both ends of a standard input's FIFO, read and write; neither open waits for anybody. */
ES_HIDDEN int es_task_io_open_stdin(const char *path, int fds[2], struct es_error *error);
ES_HIDDEN void es_task_io_close(struct es_task_io *io);

#endif
