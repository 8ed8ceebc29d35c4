/* SPDX-License-Identifier: Apache-2.0 */
/* The interactive example (examples/shell.c) in a terminal, as a user has it. */
#include <fcntl.h>
#include <pty.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "stream.h"

#define LEAVE "\x1d" /* ^] */

/* The user's terminal, and what runs in it. */
struct window {
	struct env env;
	const char *bundle;
	int keys;  /* master */
	int slave; /* held, so that the modes can be looked at when nobody runs in it */
	struct termios modes;
	struct reader screen;
	pid_t pid;
};

static void resize(struct window *w, unsigned short rows, unsigned short columns)
{
	struct winsize size = { .ws_row = rows, .ws_col = columns };

	ck_assert_int_eq(ioctl(w->keys, TIOCSWINSZ, &size), 0);
}

/* A new terminal. */
static void open_window(struct window *w)
{
	ck_assert_int_eq(openpty(&w->keys, &w->slave, NULL, NULL, NULL), 0);
	fcntl(w->keys, F_SETFD, FD_CLOEXEC);
	fcntl(w->slave, F_SETFD, FD_CLOEXEC);
	ck_assert_int_eq(tcgetattr(w->slave, &w->modes), 0);
	resize(w, 24, 80);
	reader_take(&w->screen, fcntl(w->keys, F_DUPFD_CLOEXEC, 3));
}

static void close_window(struct window *w)
{
	/* The last one: that is the end for the reader. */
	close(w->slave);
	reader_wait_end(&w->screen);
	close(w->keys);
}

static void set_up(struct window *w)
{
	struct box box = { .args = { "/bin/busybox", "sh" }, .terminal = true };

	memset(w, 0, sizeof(*w));
	env_init(&w->env);
	env_busybox(&w->env);
	w->bundle = box_bundle(&w->env, "shell", &box);
	open_window(w);
}

static void tear_down(struct window *w)
{
	char path[PATH_MAX];

	close_window(w);
	snprintf(path, sizeof(path), "%s/shell-in", w->env.dir);
	ck_assert_int_eq(access(path, F_OK), -1);
	snprintf(path, sizeof(path), "%s/shell-out", w->env.dir);
	ck_assert_int_eq(access(path, F_OK), -1);
	census_assert_empty(&w->env);
	env_clear(&w->env);
}

static void run_example(void *arg)
{
	const struct window *w = arg;

	setsid();
	ioctl(w->slave, TIOCSCTTY, 0);
	for (int i = 0; i < 3; i++)
		dup2(w->slave, i);
	execl(ES_SHELL, "shell", w->env.dir, w->bundle, "shell", (char *)NULL);
	_exit(99);
}

static struct termios current_modes(const struct window *w)
{
	struct termios modes;

	ck_assert_int_eq(tcgetattr(w->slave, &modes), 0);
	return modes;
}

static bool modes_are_saved_ones(const struct window *w)
{
	struct termios modes = current_modes(w);

	return modes.c_iflag == w->modes.c_iflag && modes.c_oflag == w->modes.c_oflag &&
	       modes.c_cflag == w->modes.c_cflag && modes.c_lflag == w->modes.c_lflag &&
	       memcmp(modes.c_cc, w->modes.c_cc, sizeof(modes.c_cc)) == 0;
}

/* The user starts it, and it is ready for what is typed. */
static void start(struct window *w)
{
	w->pid = start_child(run_example, w);
	ck_assert(wait_until(!(current_modes(w).c_lflag & ICANON)));
}

static void type(const struct window *w, const char *keys)
{
	say(w->keys, keys);
}

/* A command, and what it must answer. Neither is part of the other: keys are shown, too. */
static void ask(struct window *w, const char *command, const char *answer)
{
	type(w, command);
	type(w, "\n");
	ck_assert(reader_wait_for(&w->screen, answer));
}

/* The example has ended by itself, and left the terminal as it was. */
static void wait_for_end(struct window *w, int code)
{
	int status;

	ck_assert_int_eq(waitpid(w->pid, &status, 0), w->pid);
	ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == code, "%#x: %s", status,
		      w->screen.text);
	ck_assert(modes_are_saved_ones(w));
}

static void leave(struct window *w)
{
	type(w, LEAVE);
	ck_assert(reader_wait_for(&w->screen, "left: shell goes on"));
	wait_for_end(w, 0);
}

/* The shell ends with a code, and with it the test. */
static void finish(struct window *w, int code)
{
	char command[32];

	snprintf(command, sizeof(command), "exit %d\n", code);
	type(w, command);
	wait_for_end(w, code);
	tear_down(w);
}

START_TEST(conversation)
{
	struct window w;

	set_up(&w);
	start(&w);
	ask(&w, "kept=here; echo a$((6*7))b", "a42b");
	ask(&w, "stty size; echo first$((1+1))", "24 80\r\nfirst2");
	resize(&w, 33, 111);
	/* The signal comes when it comes. */
	ask(&w, "until stty size | grep 33; do usleep 1000; done", "33 111");
	/* The shell's foreground process gets it, not the example. */
	ask(&w, "echo sl$((1+1)); sleep 1000", "sl2\r\n");
	sleep_ms(100);
	type(&w, "\x03");
	ask(&w, "echo inter$((1+1))", "inter2");
	ck_assert_int_eq(waitpid(w.pid, NULL, WNOHANG), 0);
	leave(&w);

	/* In another window, with another size. */
	close_window(&w);
	open_window(&w);
	resize(&w, 44, 122);
	start(&w);
	ask(&w, "echo again-$kept", "again-here");
	ask(&w, "until stty size | grep 44; do usleep 1000; done", "44 122");

	/* The example is killed: the window's modes are what it has left, the shell goes on. */
	kill_child(w.pid);
	close_window(&w);
	open_window(&w);
	start(&w);
	ask(&w, "echo third-$kept", "third-here");
	/* What was typed before it counts. */
	type(&w, "late=typed\n" LEAVE);
	wait_for_end(&w, 0);
	start(&w);
	ask(&w, "echo fourth-$late", "fourth-typed");
	finish(&w, 7);
}
END_TEST

/* In its container's cgroups. */
static bool nobody_is_there(const struct window *w)
{
	char command[PATH_MAX];

	snprintf(command, sizeof(command), "! cat /proc/[0-9]*/cgroup 2>/dev/null | grep -q '/%s-'",
		 env_tag(&w->env));
	return system(command) == 0;
}

/* It ends while nobody is there. */
START_TEST(ended_meanwhile)
{
	struct window w;

	set_up(&w);
	start(&w);
	ask(&w, "echo up$((1+1)); while [ ! -e /go-end ]; do usleep 1000; done; exit 9", "up2");
	leave(&w);
	box_go(&w.env, "end");
	ck_assert(wait_until(nobody_is_there(&w)));
	w.pid = start_child(run_example, &w);
	wait_for_end(&w, 9);
	tear_down(&w);
}
END_TEST

/* The example is killed between create and start, by a runtime that does it once. */
START_TEST(killed_before_start)
{
	char path[PATH_MAX], text[3 * PATH_MAX];
	struct window w;
	int status;

	set_up(&w);
	snprintf(path, sizeof(path), "%s/path", w.env.dir);
	ck_assert_int_eq(mkdir(path, 0755), 0);
	snprintf(text, sizeof(text), "%s:%s", path, getenv("PATH"));
	setenv("PATH", text, 1);
	snprintf(path, sizeof(path), "%s/path/runc", w.env.dir);
	snprintf(text, sizeof(text),
		 "#!/bin/sh\nPATH=${PATH#*:}\ncase \" $* \" in *' start '*)\n"
		 "[ -e %s/once ] || { touch %s/once; kill -9 $PPID; exit 1; } ;; esac\n"
		 "exec runc \"$@\"\n",
		 w.env.dir, w.env.dir);
	write_script(path, text);
	w.pid = start_child(run_example, &w);
	ck_assert_int_eq(waitpid(w.pid, &status, 0), w.pid);
	ck_assert_msg(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL, "%#x", status);
	start(&w);
	ask(&w, "echo here$((1+1))", "here2");
	finish(&w, 5);
}
END_TEST

static void *paste(void *arg)
{
	const struct window *w = arg;

	for (int i = 0; i < 8000; i++)
		type(w, "0123456789012345678901234567890123456789\n");
	/* sed reads one line ahead. */
	type(w, "the last one\nand one more\n");
	return NULL;
}

/* Much is pasted into what writes more than it reads. */
START_TEST(pasted)
{
	pthread_t thread;
	struct window w;

	set_up(&w);
	start(&w);
	ask(&w, "echo sed$((1+1)); sed 's/.*/& & & & & & & &/'", "sed2");
	pthread_create(&thread, NULL, paste, &w);
	ck_assert(reader_wait_for(&w.screen, "the last one the last one"));
	pthread_join(thread, NULL);
	type(&w, "\x04");
	ask(&w, "echo done$((1+1))", "done2");
	finish(&w, 0);
}
END_TEST

/* ^C reaches what floods the screen. */
START_TEST(flooded)
{
	struct window w;

	set_up(&w);
	start(&w);
	ask(&w, "echo yes$((1+1)); yes", "y\r\ny\r\n");
	type(&w, "\x03");
	ask(&w, "echo done$((1+1))", "done2");
	finish(&w, 3);
}
END_TEST

/* What cannot be is said, and nothing is left of it. */
START_TEST(refused)
{
	struct window w;
	int status;

	set_up(&w);
	w.bundle = "/no/such/bundle";
	w.pid = start_child(run_example, &w);
	ck_assert(reader_wait_for(&w.screen, "/no/such/bundle"));
	wait_for_end(&w, 1);
	/* No terminal. */
	close(w.slave);
	w.slave = open("/dev/null", O_RDWR | O_CLOEXEC);
	w.pid = start_child(run_example, &w);
	ck_assert_int_eq(waitpid(w.pid, &status, 0), w.pid);
	ck_assert_int_eq(WEXITSTATUS(status), 2);
	tear_down(&w);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = { conversation, ended_meanwhile, killed_before_start,
				       pasted,	     flooded,	      refused };

	require_runtime();
	return run_suite("shell", tests, sizeof(tests) / sizeof(tests[0]), 300);
}
