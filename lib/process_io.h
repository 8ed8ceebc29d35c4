/* SPDX-License-Identifier: Apache-2.0 */
/* The streams of one task or exec: starts the processes of ours that serve them. */
#ifndef ES_PROCESS_IO_H
#define ES_PROCESS_IO_H

#include "io_record.h"
#include "reaper.h"
#include "task_io.h"

struct es_process_io_opts {
	const char *dir;	   /* the bundle, or the exec's directory */
	const char *const *stream; /* [3], as given */
	const char *const *name;   /* namespace, task ID and exec ID, ended by NULL */
	const char *boot_id;
	const char *helper; /* program */
	struct es_reaper *reaper;
	bool terminal;
	uint32_t uid, gid; /* owner of what the container is given; both 0: as it is */
	uint32_t timeout_ms;
};

/* What the runtime is started with. */
struct es_process_io {
	struct es_task_io stream;
	int lifeline;		  /* io_helper.h */
	int dir_fd;		  /* console_socket may lead over it */
	char console_socket[108]; /* "": no terminal */
};

#define ES_PROCESS_IO_NULL                                                                         \
	((struct es_process_io){ .stream = ES_TASK_IO_NULL, .lifeline = -EBADF, .dir_fd = -EBADF })

/*
 * Start whoever serves the streams that es_task_io_open() has opened, and note them in dir. After
 * it io->stream.fd is what the runtime is given. Waits for loggers to be ready, at most timeout_ms.
 * -ENOTSUP: a terminal with a file; what es_io_helper_start(), es_logger_start() and
 * es_logger_wait() return. On failure none of them is left.
 */
ES_HIDDEN int es_process_io_start(struct es_process_io *io, const struct es_process_io_opts *opts,
				  struct es_json *json, struct es_error *error);
/* Close our copies: the container has its own. */
ES_HIDDEN void es_process_io_close(struct es_process_io *io);

/*
 * Open the standard input's FIFO, if path names one, and give it to the helper. Not before the
 * start: until then a client that writes must wait, because some are ready to hear that they have
 * come to the end of their input only when the container is created.
 */
ES_HIDDEN int es_process_io_open_stdin(const char *dir, const char *path, struct es_error *error);

/* Tell the helper, if there is one, which process it ends with. Its death is told unless the
   process has ended, too: -EPIPE. */
ES_HIDDEN int es_process_io_watch(const char *dir, const struct es_pidref *process);

#endif
