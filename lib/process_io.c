/* SPDX-License-Identifier: Apache-2.0 */
/* The streams of one task or exec: starts the processes of ours that serve them. */
#include "process_io.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "clock.h"
#include "error.h"
#include "io_helper.h"
#include "logger.h"
#include "step.h"

/* One start under way. */
struct start {
	struct es_process_io *io;
	const struct es_process_io_opts *opts;
	struct es_error *error;
	struct es_io_record record;
	struct es_pidref helper;
	struct es_logger logger[3]; /* by stream */
};

void es_process_io_close(struct es_process_io *io)
{
	es_task_io_close(&io->stream);
	es_close(TAKE_FD(io->lifeline));
	es_close(TAKE_FD(io->dir_fd));
}

/* What the container is given must be its own to open again, as /dev/stdout. */
static int give(const struct es_process_io_opts *opts, int fd)
{
	if (fd < 0 || (!opts->uid && !opts->gid))
		return 0;
	return fchown(fd, opts->uid, opts->gid) < 0 ? es_neg_errno() : 0;
}

/* A pipe of which the container gets one end. */
static int make_pipe(const struct start *s, int *read_end, int *write_end)
{
	int fds[2], r;

	if (pipe2(fds, O_CLOEXEC) < 0)
		return es_error_set_errno(s->error, es_neg_errno(), "cannot make a pipe");
	*read_end = fds[0];
	*write_end = fds[1];
	r = give(s->opts, fds[0]);
	return r < 0 ? es_error_set_errno(s->error, r, "cannot give a pipe to user %u",
					  s->opts->uid)
		     : 0;
}

static void note(struct start *s, enum es_io_server server, const struct es_pidref *process)
{
	s->record.server[server].pid = process->pid;
	s->record.server[server].start_ticks = process->start_ticks;
}

static bool is_logger(const struct start *s, int stream)
{
	return s->io->stream.kind[stream] == ES_STREAM_LOGGER;
}

/* Of stream i, or of both. */
static int start_logger(struct start *s, int i, bool both)
{
	const struct es_process_io_opts *o = s->opts;
	cleanup_fd int out = -EBADF, err = -EBADF;
	struct es_logger_opts logger = {
		.uri = o->stream[i],
		.namespace_ = o->name[0],
		.id = o->name[2] ? o->name[2] : o->name[1],
		.cwd = o->dir,
	};
	int r = 0;

	if (i == 1)
		r = make_pipe(s, &out, &s->io->stream.fd[1]);
	if (r == 0 && (i == 2 || both))
		r = make_pipe(s, &err, &s->io->stream.fd[2]);
	if (r < 0)
		return r;
	logger.out = out;
	logger.err = err;
	r = es_logger_start(&logger, &s->logger[i], s->error);
	if (r == 0)
		note(s, i == 1 ? ES_IO_LOGGER_STDOUT : ES_IO_LOGGER_STDERR, &s->logger[i].process);
	return r;
}

static int start_loggers(struct start *s)
{
	bool both = is_logger(s, 1) && is_logger(s, 2) &&
		    strcmp(s->opts->stream[1], s->opts->stream[2]) == 0;
	int r = 0;

	if (is_logger(s, 1))
		r = start_logger(s, 1, both);
	if (r == 0 && is_logger(s, 2) && !both)
		r = start_logger(s, 2, false);
	return r;
}

static int wait_for_loggers(struct start *s)
{
	uint64_t deadline = es_deadline_after_ms(s->opts->timeout_ms);
	int r = 0;

	for (int i = 1; r == 0 && i < 3; i++) {
		if (s->logger[i].ready < 0)
			continue;
		r = es_logger_wait(&s->logger[i], deadline, s->error);
		if (r < 0)
			es_error_prefix(s->error, "%s", s->opts->stream[i]);
	}
	return r;
}

/* Sockets' paths are short: one that is not leads over a descriptor of ours. */
static int set_console_socket(struct start *s)
{
	struct es_process_io *io = s->io;
	size_t n = sizeof(io->console_socket);

	io->dir_fd = open(s->opts->dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (io->dir_fd < 0)
		return es_neg_errno();
	if ((size_t)snprintf(io->console_socket, n, "%s/%s", s->opts->dir, ES_IO_CONSOLE_SOCKET) >=
	    n)
		snprintf(io->console_socket, n, "/proc/%d/fd/%d/%s", getpid(), io->dir_fd,
			 ES_IO_CONSOLE_SOCKET);
	return 0;
}

/* The helper has the streams, and the runtime none. What it has for stdout keeps the helper's
   lifeline: the runtime may still be making the container when we are gone. */
static int hand_over_terminal(struct start *s)
{
	struct es_task_io *io = &s->io->stream;

	es_task_io_close(io);
	io->fd[1] = fcntl(s->io->lifeline, F_DUPFD_CLOEXEC, 3);
	return io->fd[1] < 0 ? es_neg_errno() : set_console_socket(s);
}

static int start_helper(struct start *s)
{
	struct es_task_io *io = &s->io->stream;
	cleanup_fd int container_end = -EBADF, pipe_end = -EBADF;
	struct es_io_helper_opts helper = {
		.program = s->opts->helper,
		.dir = s->opts->dir,
		.mode = s->opts->terminal ? ES_IO_MODE_TERMINAL : ES_IO_MODE_STDIN,
		.name = s->opts->name,
		.out = io->fd[1],
	};
	int r;

	if (!s->opts->terminal) {
		r = make_pipe(s, &container_end, &pipe_end);
		if (r < 0)
			return r;
		helper.out = pipe_end;
	}
	r = es_io_helper_start(&helper, &s->helper, &s->io->lifeline, s->error);
	if (r < 0)
		return r;
	note(s, ES_IO_HELPER_PROCESS, &s->helper);
	if (s->opts->terminal)
		return hand_over_terminal(s);
	io->fd[0] = TAKE_FD(container_end);
	return 0;
}

/* A terminal has one output. */
static int check_terminal(struct start *s)
{
	struct es_task_io *io = &s->io->stream;

	es_close(TAKE_FD(io->fd[2]));
	io->kind[2] = ES_STREAM_NULL;
	if (io->kind[1] == ES_STREAM_FILE)
		return es_error_set(s->error, -ENOTSUP,
				    "stdout: %s: the output of a terminal goes to a FIFO or a "
				    "logger, not to a file",
				    s->opts->stream[1]);
	return 0;
}

static int start_servers(struct start *s, struct es_json *json)
{
	const struct es_process_io_opts *o = s->opts;
	struct es_task_io *io = &s->io->stream;
	int r;

	if (o->terminal && (r = check_terminal(s)) < 0)
		return r;
	for (int i = 1; i < 3; i++)
		if (io->kind[i] == ES_STREAM_FIFO && !o->terminal && (r = give(o, io->fd[i])) < 0)
			return es_error_set_errno(s->error, r, "cannot give %s to user %u",
						  o->stream[i], o->uid);
	r = start_loggers(s);
	if (r < 0)
		return r;
	es_step("io.loggers");
	if (o->terminal || io->kind[0] == ES_STREAM_FIFO)
		r = start_helper(s);
	if (r < 0)
		return r;
	es_step("io.helper");
	if (s->helper.pid || is_logger(s, 1) || is_logger(s, 2))
		r = es_io_record_write(o->dir, json, &s->record);
	if (r < 0)
		return es_error_set_errno(s->error, r, "%s/%s", o->dir, ES_IO_RECORD_FILE);
	es_step("io.record");
	return wait_for_loggers(s);
}

/* Of a start that has failed. */
static void kill_now(struct es_pidref *process)
{
	int status;

	if (process->fd < 0)
		return;
	es_pidref_signal(process, SIGKILL);
	es_pidref_wait(process, ES_DEADLINE_NEVER);
	es_pidref_take_status(process, true, &status);
	es_pidref_close(process);
}

static void reap_later(const struct start *s, struct es_pidref *process, const char *what)
{
	char text[160];

	if (process->fd < 0)
		return;
	snprintf(text, sizeof(text), "%s of %.60s/%.60s", what, s->opts->name[0], s->opts->name[1]);
	es_reaper_add(s->opts->reaper, process, text);
}

int es_process_io_start(struct es_process_io *io, const struct es_process_io_opts *opts,
			struct es_json *json, struct es_error *error)
{
	struct start s = { .io = io,
			   .opts = opts,
			   .error = error,
			   .helper = ES_PIDREF_UNSET,
			   .logger = { ES_LOGGER_UNSET, ES_LOGGER_UNSET, ES_LOGGER_UNSET } };
	int r;

	snprintf(s.record.boot_id, sizeof(s.record.boot_id), "%s", opts->boot_id);
	r = start_servers(&s, json);
	for (int i = 1; i < 3; i++) {
		if (r < 0)
			kill_now(&s.logger[i].process);
		else
			reap_later(&s, &s.logger[i].process, "logger");
		es_logger_close(&s.logger[i]);
	}
	if (r < 0)
		kill_now(&s.helper);
	else
		reap_later(&s, &s.helper, "embedshim-io");
	return r;
}

int es_process_io_open_stdin(const char *dir, const char *path, struct es_error *error)
{
	const struct es_io_request request = { .command = ES_IO_STDIN };
	int fds[2], r;

	if (es_stream_kind(path) != ES_STREAM_FIFO)
		return 0;
	r = es_task_io_open_stdin(path, fds, error);
	if (r < 0)
		return r;
	r = es_io_helper_ask(dir, &request, fds, 2);
	es_close(fds[0]);
	es_close(fds[1]);
	if (r == -ECONNREFUSED)
		r = -EPIPE;
	return r < 0 ? es_error_set_errno(error, r,
					  "stdin: %s: embedshim-io, which is to read it, does not "
					  "answer",
					  path)
		     : 0;
}

int es_process_io_watch(const char *dir, const struct es_pidref *process)
{
	const struct es_io_request request = { .command = ES_IO_WATCH };
	int r;

	/* One that has gone closed what it had of ours, which tells the helper enough. */
	if (process->fd < 0)
		return 0;
	r = es_io_helper_ask(dir, &request, &process->fd, 1);
	return r == -ENOENT || (r < 0 && es_pidref_has_exited(process)) ? 0 : r;
}
