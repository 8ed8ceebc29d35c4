/* SPDX-License-Identifier: Apache-2.0 */
/* Terminals of tasks and execs: what is typed and shown, sizes, signals, large amounts. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "stream.h"

#define SH(script)                                                                                 \
	{                                                                                          \
		"/bin/busybox", "sh", "-c", script                                                 \
	}

/* One container with a terminal, and its client. */
struct session {
	struct env env;
	struct es_manager *m;
	struct es_task *task;
	struct reader out;
	int in;
};

static void session_open(struct session *s, const char *script)
{
	struct box box = { .args = SH(script), .terminal = true };

	env_init(&s->env);
	env_busybox(&s->env);
	s->m = env_open(&s->env);
	box.in = make_fifo(&s->env, "in");
	box.out = make_fifo(&s->env, "out");
	reader_open(&s->out, box.out);
	s->task = box_create(&s->env, s->m, "box", &box);
	s->in = open(box.in, O_WRONLY | O_CLOEXEC);
	ck_assert_int_ge(s->in, 0);
}

static void session_start(struct session *s)
{
	ck_assert_msg(es_task_start(s->task, &s->env.error) == 0, "%s", s->env.error.message);
}

/* The container ends by itself, with this code. */
static void session_end(struct session *s, int code)
{
	struct es_exit exit;

	ck_assert_int_eq(es_task_wait(s->task, 20000, &exit), 0);
	ck_assert_int_eq(exit.code, code);
	reader_wait_end(&s->out);
	close(s->in);
	ck_assert_int_eq(es_task_resize(s->task, 80, 25), -ESRCH);
	ck_assert_msg(es_task_delete(s->task, NULL, &s->env.error) == 0, "%s",
		      s->env.error.message);
	ck_assert_int_eq(es_task_resize(s->task, 80, 25), -ESRCH);
	es_task_free(s->task);
	es_manager_close(s->m);
	census_assert_empty(&s->env);
	env_clear(&s->env);
}

START_TEST(shell)
{
	struct session s;

	session_open(&s, "stty size; echo ready; while read line; do "
			 "case $line in size) stty size;; end) exit 7;; *) echo \"got $line\";; "
			 "esac; done");
	ck_assert_int_eq(es_task_has_terminal(s.task), 1);
	/* Before the start, too: the terminal is there. */
	ck_assert_int_eq(es_task_resize(s.task, 123, 45), 0);
	session_start(&s);
	ck_assert(reader_wait_for(&s.out, "45 123\r\nready\r\n"));
	say(s.in, "hello\n");
	ck_assert(reader_wait_for(&s.out, "got hello\r\n"));
	ck_assert_int_eq(es_task_resize(s.task, 200, 50), 0);
	say(s.in, "size\n");
	ck_assert(reader_wait_for(&s.out, "50 200\r\n"));
	ck_assert_int_eq(es_task_resize(s.task, 65536, 50), -EINVAL);
	say(s.in, "end\n");
	session_end(&s, 7);
}
END_TEST

/* ^C reaches the foreground process as SIGINT, and a shell makes 130 of it. */
START_TEST(interrupt)
{
	struct session s;

	session_open(&s, "echo ready; sleep 100; echo not reached");
	session_start(&s);
	ck_assert(reader_wait_for(&s.out, "ready"));
	/* The shell is PID 1 of its namespace and takes no signal by default; its child does. */
	sleep_ms(100);
	say(s.in, "\x03");
	ck_assert(reader_wait_for(&s.out, "^C"));
	session_end(&s, 130);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = { shell, interrupt };

	require_runtime();
	return run_suite("terminal", tests, sizeof(tests) / sizeof(tests[0]), 600);
}
