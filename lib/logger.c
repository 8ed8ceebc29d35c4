/* SPDX-License-Identifier: Apache-2.0 */
/* Starts the logger of a binary:// stream: containerd's protocol on descriptors 3, 4 and 5. */
#include "logger.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/wait.h>

#include "clock.h"
#include "error.h"
#include "logger_uri.h"
#include "spawn.h"

/* A pipe that ends at once, for the stream that is not this logger's. */
static int ended_pipe(void)
{
	int fds[2];

	if (pipe2(fds, O_CLOEXEC) < 0)
		return es_neg_errno();
	es_close(fds[1]);
	return fds[0];
}

static int spawn(const struct es_logger_opts *opts, const struct es_logger_uri *uri, int ready,
		 struct es_pidref *ret)
{
	cleanup_free char *id = NULL, *namespace_ = NULL;
	cleanup_fd int nothing = ended_pipe();
	const int more[] = { opts->out >= 0 ? opts->out : nothing,
			     opts->err >= 0 ? opts->err : nothing, ready };
	const char *env[3] = { NULL };
	struct es_spawn s = {
		.program = uri->argv[0],
		.argv = uri->argv,
		.env = env,
		.cwd = opts->cwd,
		.fd = { -EBADF, -EBADF, -EBADF },
		.more_fd = more,
		.more = ES_ARRAY_SIZE(more),
		.mark_prog_fd = -EBADF,
	};

	if (nothing < 0)
		return nothing;
	if (asprintf(&id, "CONTAINER_ID=%s", opts->id) < 0 ||
	    asprintf(&namespace_, "CONTAINER_NAMESPACE=%s", opts->namespace_) < 0)
		return -ENOMEM;
	env[0] = id;
	env[1] = namespace_;
	return es_spawn_lasting(&s, ret);
}

int es_logger_start(const struct es_logger_opts *opts, struct es_logger *ret,
		    struct es_error *error)
{
	struct es_logger_uri uri;
	int ready[2], r;

	*ret = ES_LOGGER_UNSET;
	r = es_logger_uri_parse(opts->uri, &uri);
	if (r < 0)
		return es_error_set_errno(error, r, "logger %s", opts->uri);
	if (pipe2(ready, O_CLOEXEC) < 0) {
		r = es_neg_errno();
	} else {
		r = spawn(opts, &uri, ready[1], &ret->process);
		es_close(ready[1]);
		ret->ready = ready[0];
	}
	if (r < 0)
		es_error_set_errno(error, r, "cannot run logger %s", uri.argv[0]);
	ret->ready_byte = uri.ready_byte;
	es_logger_uri_clear(&uri);
	if (r < 0)
		es_logger_close(ret);
	return r;
}

int es_logger_wait(const struct es_logger *logger, uint64_t deadline_ns, struct es_error *error)
{
	struct pollfd fd = { .fd = logger->ready, .events = POLLIN };
	char byte;
	ssize_t n;
	int r;

	do
		r = poll(&fd, 1, es_deadline_poll_ms(deadline_ns));
	while (r < 0 && errno == EINTR);
	if (r == 0)
		return es_error_set(error, -ETIMEDOUT, "the logger did not become ready in time");
	n = read(logger->ready, &byte, 1);
	/* The older protocol has no other sign than the end of the pipe. */
	if (n == 1 || (n == 0 && !logger->ready_byte))
		return 0;
	return es_error_set(error, -EIO, "the logger ended without saying that it is ready");
}

void es_logger_close(struct es_logger *logger)
{
	es_pidref_close(&logger->process);
	es_close(TAKE_FD(logger->ready));
}
