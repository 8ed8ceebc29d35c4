/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An interactive container: a shell, for example, in this terminal.
 *
 *	shell DIR BUNDLE ID
 *
 * DIR is a scratch directory of ours, BUNDLE an OCI bundle whose config.json has process.terminal
 *set.
 * ^] leaves; the container goes on without us, and the same command comes back to it.
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
	struct signalfd_siginfo info;
	char buffer[4096];
	ssize_t n;

	for (;;) {
		poll(fds, 3, -1);
		if (fds[2].revents && read(winch, &info, sizeof(info)) > 0)
			copy_size(task);
		if (fds[1].revents) {
			n = read(out, buffer, sizeof(buffer));
			if (n <= 0 || write(1, buffer, (size_t)n) < 0)
				return 0;
		}
		if (fds[0].revents) {
			n = read(0, buffer, sizeof(buffer));
			if (n <= 0 || memchr(buffer, DETACH, (size_t)n))
				return 1;
			if (write(in, buffer, (size_t)n) < 0)
				return 0;
		}
	}
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

/* The one that is there already, or a new one. */
static int find_or_start(struct es_manager *manager, const char *id, struct es_task_opts *opts,
			 struct es_task **task)
{
	int r = es_manager_get(manager, "default", id, task);

	if (r == 0)
		return 0;
	r = es_task_create(manager, "default", id, opts, task);
	if (r == 0 && (r = es_task_start(*task, opts->error)) < 0) {
		es_task_delete(*task, NULL, NULL);
		es_task_free(*task);
	}
	return r;
}

int main(int argc, char **argv)
{
	char root[PATH_MAX], state[PATH_MAX], in_path[PATH_MAX], out_path[PATH_MAX];
	struct es_error error = { 0 };
	struct es_manager_opts manager_opts = { .size = sizeof(manager_opts), .error = &error };
	struct es_task_opts opts = { .size = sizeof(opts), .error = &error };
	struct es_exit exit = { 0 };
	struct es_manager *manager;
	struct es_task *task;
	int in, out, left;

	if (argc != 4) {
		fprintf(stderr, "usage: %s DIR BUNDLE ID\n", argv[0]);
		return 2;
	}
	snprintf(root, sizeof(root), "%s/root", argv[1]);
	snprintf(state, sizeof(state), "%s/state", argv[1]);
	snprintf(in_path, sizeof(in_path), "%s/%s-in", argv[1], argv[3]);
	snprintf(out_path, sizeof(out_path), "%s/%s-out", argv[1], argv[3]);
	manager_opts.root_dir = root;
	manager_opts.state_dir = state;
	if (es_manager_open(&manager_opts, &manager) < 0)
		return fail("open", &error);
	mkfifo(in_path, 0600);
	mkfifo(out_path, 0600);
	opts.bundle_dir = argv[2];
	opts.stdin_path = in_path;
	opts.stdout_path = out_path;
	if (find_or_start(manager, argv[3], &opts, &task) < 0) {
		es_manager_close(manager);
		return fail("run", &error);
	}

	/* Both ends are held on the other side: neither open waits. */
	in = open(in_path, O_RDWR | O_CLOEXEC);
	out = open(out_path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	left = attach(task, in, out);
	if (left) {
		printf("\nleft: %s goes on\n", argv[3]);
	} else if (es_task_wait(task, -1, &exit) < 0 || es_task_delete(task, NULL, &error) < 0) {
		fail("delete", &error);
	} else {
		unlink(in_path);
		unlink(out_path);
	}
	es_task_free(task);
	es_manager_close(manager);
	return exit.code;
}
