/* SPDX-License-Identifier: Apache-2.0 */
/* One command of an OCI runtime: run it with a deadline, read its log, say why it failed. */
#include "runc_command.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "clock.h"
#include "error.h"
#include "runc_log.h"
#include "spawn.h"

/* A killed runtime that is not gone by then hangs in the kernel and is left to its fate. */
#define KILLED_WAIT_MS 10000

/* sd_notify(3) messages of the container must not reach the host's supervisor. */
static const char *const env_drop[] = { "NOTIFY_SOCKET", NULL };

void es_runc_command_add(struct es_runc_command *c, const char *argument)
{
	if (c->argc + 1 < ES_RUNC_ARGUMENTS_MAX)
		c->argv[c->argc++] = argument;
}

void es_runc_command_init(struct es_runc_command *c, const struct es_runc *runc, const char *verb)
{
	*c = (struct es_runc_command){ .runc = runc,
				       .verb = verb,
				       .fd = { -EBADF, -EBADF, -EBADF },
				       .stderr_pipe = -EBADF,
				       .mark_prog_fd = -EBADF };
	es_runc_command_add(c, runc->program);
	es_runc_command_add(c, "--root");
	es_runc_command_add(c, runc->root);
	es_runc_command_add(c, "--log");
	es_runc_command_add(c, runc->log);
	es_runc_command_add(c, "--log-format");
	es_runc_command_add(c, "json");
	if (runc->systemd_cgroup)
		es_runc_command_add(c, "--systemd-cgroup");
	es_runc_command_add(c, verb);
}

void es_runc_command_clear(struct es_runc_command *c)
{
	es_close(c->stderr_pipe);
}

int es_runc_command_spawn(struct es_runc_command *c, struct es_pidref *child,
			  struct es_error *error)
{
	struct es_spawn s = {
		.program = c->runc->program,
		.argv = (char *const *)(uintptr_t)c->argv,
		.env_drop = env_drop,
		.env_add = c->env,
		.cwd = c->runc->bundle,
		.fd = { c->fd[0], c->fd[1], c->fd[2] },
		.mark_prog_fd = c->mark_prog_fd,
		.mark_arg = c->trace_id,
	};
	int r;

	c->log_start = es_runc_log_end(c->runc->log);
	r = es_spawn(&s, child);
	if (r < 0)
		return es_error_set_errno(error, r, "cannot run OCI runtime %s in %s",
					  c->runc->program, c->runc->bundle);
	return 0;
}

/* Keep the end of what is in the pipe now. Never blocks. */
static void drain_stderr(struct es_runc_command *c)
{
	char buffer[4096];
	ssize_t n;

	while ((n = read(c->stderr_pipe, buffer, sizeof(buffer))) > 0) {
		size_t size = (size_t)n, keep;
		const char *from = buffer;

		if (size > ES_RUNC_STDERR_KEPT) {
			from += size - ES_RUNC_STDERR_KEPT;
			size = ES_RUNC_STDERR_KEPT;
		}
		keep = c->stderr_size + size > ES_RUNC_STDERR_KEPT ? ES_RUNC_STDERR_KEPT - size
								   : c->stderr_size;
		memmove(c->stderr_text, c->stderr_text + c->stderr_size - keep, keep);
		memcpy(c->stderr_text + keep, from, size);
		c->stderr_size = keep + size;
	}
	if (n == 0 || errno != EAGAIN)
		es_close(TAKE_FD(c->stderr_pipe));
}

/* Until it exits or the deadline has passed; its stderr is read, so that it never blocks on it. */
static int wait_for_exit(struct es_runc_command *c, const struct es_pidref *child,
			 uint64_t deadline_ns)
{
	for (;;) {
		struct pollfd fds[2] = { { .fd = child->fd, .events = POLLIN },
					 { .fd = c->stderr_pipe, .events = POLLIN } };
		int timeout_ms = es_deadline_poll_ms(deadline_ns);
		int n = poll(fds, 2, timeout_ms);

		if (n < 0 && errno != EINTR)
			return es_neg_errno();
		if (fds[1].revents && c->stderr_pipe >= 0)
			drain_stderr(c);
		if (n > 0 && fds[0].revents)
			return 0;
		if (timeout_ms == 0)
			return -ETIMEDOUT;
	}
}

static int exit_code(int status)
{
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

/* The first line of stderr's kept end that says something, or NULL. */
static const char *last_stderr_line(struct es_runc_command *c)
{
	char *text = c->stderr_text, *newline;
	size_t n = c->stderr_size;

	while (n > 0 && (text[n - 1] == '\n' || text[n - 1] == ' '))
		n--;
	text[n] = '\0';
	newline = strrchr(text, '\n');
	return n == 0 ? NULL : newline ? newline + 1 : text;
}

static int explain_failure(struct es_runc_command *c, int status, struct es_error *error)
{
	cleanup_free char *logged = NULL;
	const char *message = NULL;
	int r;

	if (es_runc_log_last_error(c->runc->log, c->log_start, &logged) == 0)
		message = logged;
	else if (c->stderr_size)
		message = last_stderr_line(c);
	if (message && strcmp(c->verb, "delete") == 0 && es_runc_message_is_not_found(message))
		return 0;
	if (message)
		r = es_error_set(error, -EIO, "OCI runtime %s failed: %s", c->verb, message);
	else
		r = es_error_set(error, -EIO, "OCI runtime %s failed: %s %s %d and gave no reason",
				 c->verb, c->runc->program,
				 WIFSIGNALED(status) ? "was killed by signal" : "exited with",
				 WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
	if (error)
		error->runtime_exit = exit_code(status);
	return r;
}

static int time_out(struct es_runc_command *c, const struct es_pidref *child,
		    struct es_error *error)
{
	int status;

	es_pidref_signal(child, SIGKILL);
	es_spawn_reap(child, es_deadline_after_ms(KILLED_WAIT_MS), &status);
	return es_error_set(error, -ETIMEDOUT,
			    "OCI runtime %s did not finish within %u ms and was killed: %s",
			    c->verb, c->runc->timeout_ms, c->runc->program);
}

int es_runc_command_collect(struct es_runc_command *c, const struct es_pidref *child,
			    struct es_error *error)
{
	int status, r;

	r = es_spawn_reap(child, ES_DEADLINE_NEVER, &status);
	/*
	 * The host reaped it (SIGCHLD ignored, or a waitpid(-1)) and nobody knows its status: what
	 * follows, a pid file or the next command, shows whether it has worked.
	 */
	if (r == -ENODATA)
		return 0;
	if (r < 0)
		return es_error_set_errno(error, r, "OCI runtime %s: cannot wait for %s", c->verb,
					  c->runc->program);
	if (c->stderr_pipe >= 0)
		drain_stderr(c);
	return status == 0 ? 0 : explain_failure(c, status, error);
}

int es_runc_command_run(struct es_runc_command *c, struct es_error *error)
{
	struct es_pidref child = ES_PIDREF_UNSET;
	uint64_t deadline = es_deadline_after_ms(c->runc->timeout_ms);
	int r;

	r = es_runc_command_spawn(c, &child, error);
	if (r < 0)
		return r;
	if (c->stderr_pipe >= 0)
		es_close(TAKE_FD(c->fd[2]));
	r = wait_for_exit(c, &child, deadline);
	if (r == 0)
		r = es_runc_command_collect(c, &child, error);
	else if (r == -ETIMEDOUT)
		r = time_out(c, &child, error);
	es_pidref_close(&child);
	return r;
}

/* A command whose streams are not the container's: its stderr may explain a failure. */
int es_runc_command_run_plain(struct es_runc_command *c, struct es_error *error)
{
	int fds[2], r;

	if (pipe2(fds, O_CLOEXEC) < 0)
		return es_error_set_errno(error, es_neg_errno(), "OCI runtime %s", c->verb);
	c->stderr_pipe = fds[0];
	c->fd[2] = fds[1];
	r = fcntl(fds[0], F_SETFL, O_NONBLOCK) < 0 ? es_neg_errno() : es_runc_command_run(c, error);
	es_close(c->fd[2]);
	return r;
}
