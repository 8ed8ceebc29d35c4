/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An interactive container: a shell, for example, in this terminal.
 *
 *	shell DIR BUNDLE ID
 *
 * DIR is a scratch directory of ours, BUNDLE an OCI bundle whose config.json sets process.terminal.
 * ^] leaves; the container goes on without us, and the same command comes back to it. Exits with
 * the container's code.
 */
#include <embedshim/embedshim.h>

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#define DETACH 0x1d /* ^] */

static int fail(const char *what, const struct es_error *error)
{
	fprintf(stderr, "%s: %s\n", what, error->message);
	return 1;
}

static void copy_size(struct es_task *task)
{
	struct winsize size;

	if (ioctl(0, TIOCGWINSZ, &size) == 0)
		es_task_resize(task, size.ws_col, size.ws_row);
}

/* Until the output ends (0), or the user leaves (1). */
static int converse(struct es_task *task, int in, int out, int winch)
{
	struct pollfd fds[] = { { .fd = 0, .events = POLLIN },
				{ .fd = out, .events = POLLIN },
				{ .fd = winch, .events = POLLIN } };
	struct pollfd room = { .fd = in, .events = POLLOUT };
	struct signalfd_siginfo info;
	char buffer[4096], *end;
	ssize_t n;

	while (poll(fds, 3, -1) > 0) {
		if (fds[2].revents && read(winch, &info, sizeof(info)) > 0)
			copy_size(task);
		if (fds[1].revents) {
			n = read(out, buffer, sizeof(buffer));
			if (n <= 0 || write(1, buffer, (size_t)n) < 0)
				return 0;
		}
		/* Not long: the container may be waiting until we read what it writes. */
		if (fds[0].revents && poll(&room, 1, 10) > 0) {
			n = read(0, buffer, sizeof(buffer));
			end = n > 0 ? memchr(buffer, DETACH, (size_t)n) : buffer;
			if (write(in, buffer, (size_t)(end ? end - buffer : n)) < 0)
				return 0;
			if (end)
				return 1;
		}
	}
	return 1;
}

/* This terminal is only a window to the container's: it must not make anything of what is typed. */
static int attach(struct es_task *task, int in, int out)
{
	struct termios saved, raw;
	sigset_t set;
	int left;

	sigemptyset(&set);
	sigaddset(&set, SIGWINCH);
	sigprocmask(SIG_BLOCK, &set, NULL);
	tcgetattr(0, &saved);
	raw = saved;
	cfmakeraw(&raw);
	tcsetattr(0, TCSADRAIN, &raw);
	copy_size(task);
	left = converse(task, in, out, signalfd(-1, &set, SFD_CLOEXEC));
	tcsetattr(0, TCSADRAIN, &saved);
	return left;
}

/* The one that is there already, or a new one; started, unless it was before. */
static int find_or_start(struct es_manager *manager, const char *id, struct es_task_opts *opts,
			 struct es_task **task)
{
	struct es_task_state state;
	int r = es_manager_get(manager, "default", id, task);

	if (r < 0)
		r = es_task_create(manager, "default", id, opts, task);
	if (r < 0)
		return r;
	r = es_task_state(*task, &state);
	if (r == 0 && state.status == ES_TASK_CREATED)
		r = es_task_start(*task, opts->error);
	if (r < 0) {
		es_task_delete(*task, NULL, NULL);
		es_task_free(*task);
	}
	return r;
}

/* Returns the container's code, or 0 if it goes on without us. */
static int run(struct es_task *task, const struct es_task_opts *opts)
{
	/* Neither open waits. */
	int in = open(opts->stdin_path, O_RDWR | O_CLOEXEC);
	int out = open(opts->stdout_path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	struct es_exit exit;

	if (in < 0 || out < 0)
		return perror(in < 0 ? opts->stdin_path : opts->stdout_path), 1;
	/* What ended while nobody was here has no output whose end we could see. */
	if (es_task_wait(task, 0, NULL) < 0 && attach(task, in, out)) {
		printf("\nleft: %s goes on\n", es_task_id(task));
		return 0;
	}
	if (es_task_wait(task, -1, &exit) < 0 || es_task_delete(task, NULL, opts->error) < 0)
		return fail("delete", opts->error);
	unlink(opts->stdin_path);
	unlink(opts->stdout_path);
	return exit.code;
}

int main(int argc, char **argv)
{
	char root[PATH_MAX], state[PATH_MAX], in_path[PATH_MAX], out_path[PATH_MAX];
	struct es_error error = { 0 };
	struct es_manager_opts manager_opts = { .size = sizeof(manager_opts), .error = &error };
	struct es_task_opts opts = { .size = sizeof(opts), .error = &error };
	struct es_manager *manager;
	struct es_task *task;
	int status;

	if (argc != 4) {
		fprintf(stderr, "usage: %s DIR BUNDLE ID\n", argv[0]);
		return 2;
	}
	if (!isatty(0))
		return perror("standard input"), 2;
	snprintf(root, sizeof(root), "%s/root", argv[1]);
	snprintf(state, sizeof(state), "%s/state", argv[1]);
	snprintf(in_path, sizeof(in_path), "%s/%s-in", argv[1], argv[3]);
	snprintf(out_path, sizeof(out_path), "%s/%s-out", argv[1], argv[3]);
	manager_opts.root_dir = root;
	manager_opts.state_dir = state;
	if (es_manager_open(&manager_opts, &manager) < 0)
		return fail("open", &error);
	/* They are there already when we come back; what else is wrong with them the create says.
	 */
	mkfifo(in_path, 0600);
	mkfifo(out_path, 0600);
	opts.bundle_dir = argv[2];
	opts.stdin_path = in_path;
	opts.stdout_path = out_path;
	if (find_or_start(manager, argv[3], &opts, &task) == 0) {
		status = run(task, &opts);
		es_task_free(task);
	} else {
		status = fail("run", &error);
		unlink(in_path);
		unlink(out_path);
	}
	es_manager_close(manager);
	return status;
}
