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
	const char *in_path;
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
	s->in_path = box.in;
}

static void session_start(struct session *s)
{
	ck_assert_msg(es_task_start(s->task, &s->env.error) == 0, "%s", s->env.error.message);
	s->in = open(s->in_path, O_WRONLY | O_CLOEXEC);
	ck_assert_int_ge(s->in, 0);
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

struct feed {
	int fd;
	uint64_t bytes;
};

static void *feed(void *arg)
{
	const struct feed *f = arg;

	write_pattern(f->fd, f->bytes);
	return NULL;
}

/* Every byte of a lot, in and out. */
START_TEST(through_and_through)
{
	struct feed f = { .bytes = (uint64_t)test_count(10, 100) << 20 };
	char script[128];
	struct session s;
	pthread_t thread;

	snprintf(script, sizeof(script), "stty raw -echo; echo ready; head -c %llu; exit 1",
		 (unsigned long long)f.bytes);
	session_open(&s, script);
	session_start(&s);
	ck_assert(reader_wait_for(&s.out, "ready\n"));
	pthread_mutex_lock(&s.out.lock);
	s.out.sum = s.out.total = 0;
	pthread_mutex_unlock(&s.out.lock);
	f.fd = s.in;
	pthread_create(&thread, NULL, feed, &f);
	session_end(&s, 1);
	pthread_join(thread, NULL);
	ck_assert_uint_eq(s.out.total, f.bytes);
	ck_assert_uint_eq(s.out.sum, pattern_sum(f.bytes));
}
END_TEST

/* It closes its terminal and opens it again, and sends what terminals take for commands. */
START_TEST(hostile)
{
	struct session s;

	session_open(&s, "printf '\\033[2J\\033]0;x\\007\\000'; yes | head -c 300000; "
			 "exec 0<&- 1>&- 2>&-; sleep 0.3; "
			 "exec 0</dev/console 1>/dev/console 2>&1; echo back; read x; exit 6");
	session_start(&s);
	ck_assert(reader_wait_for(&s.out, "back\r\n"));
	ck_assert_int_eq(es_task_resize(s.task, 80, 25), 0);
	say(s.in, "on\n");
	session_end(&s, 6);
}
END_TEST

/* It fills a terminal that nobody reads: it waits, its client still reaches it. */
START_TEST(filled)
{
	struct session s;

	session_open(&s, "trap 'exit 9' INT; yes; yes");
	session_start(&s);
	sleep_ms(300);
	ck_assert_int_eq(es_task_resize(s.task, 80, 25), 0);
	ck_assert_int_eq(es_task_wait(s.task, 0, NULL), -ETIMEDOUT);
	say(s.in, "\x03");
	ck_assert(reader_wait_for(&s.out, "^C"));
	session_end(&s, 9);
}
END_TEST

static char warnings[4096];

static void keep_warning(int level, const char *message, void *arg)
{
	size_t n = strlen(warnings);

	(void)arg;
	if (level == ES_LOG_WARNING)
		snprintf(warnings + n, sizeof(warnings) - n, "%s\n", message);
}

/* The helper's death is told, and costs the container its terminal, and nobody else anything. */
START_TEST(dead_helper)
{
	struct es_event event;
	struct session s;
	char path[PATH_MAX], text[1024] = "", *p;
	int32_t *pids;
	int pid, n;
	FILE *f;

	es_log_set(keep_warning, NULL);
	session_open(&s, "echo up; trap '' HUP; while :; do sleep 1; done");
	session_start(&s);
	ck_assert(reader_wait_for(&s.out, "up"));
	snprintf(path, sizeof(path), "%s/test/box/io.json", s.env.state);
	f = fopen(path, "re");
	ck_assert_ptr_nonnull(f);
	ck_assert_uint_gt(fread(text, 1, sizeof(text) - 1, f), 0);
	fclose(f);
	p = strstr(text, "\"helper_pid\":");
	ck_assert_ptr_nonnull(p);
	pid = atoi(p + strlen("\"helper_pid\":"));
	ck_assert_int_gt(pid, 1);
	/* It is none of the container's processes. */
	n = es_task_pids(s.task, &pids);
	ck_assert_int_ge(n, 1);
	for (int i = 0; i < n; i++)
		ck_assert_int_ne(pids[i], pid);
	free(pids);
	ck_assert_int_eq(kill(pid, SIGKILL), 0);
	reader_wait_end(&s.out);
	ck_assert_int_eq(es_task_resize(s.task, 80, 25), -EPIPE);
	ck_assert_int_eq(es_task_close_stdin(s.task), -EPIPE);
	/* Reaped, though nobody waits for it. */
	ck_assert(wait_until(es_manager_next_event(s.m, &event) == 0 && kill(pid, 0) < 0));
	ck_assert_msg(strstr(warnings, "embedshim-io of test/box") != NULL &&
			      strstr(warnings, "was killed by signal 9") != NULL,
		      "%s", warnings);
	ck_assert_int_eq(es_task_wait(s.task, 0, NULL), -ETIMEDOUT);
	es_task_kill(s.task, SIGKILL);
	ck_assert_int_eq(es_task_wait(s.task, 20000, NULL), 0);
	ck_assert_int_eq(es_task_delete(s.task, NULL, &s.env.error), 0);
	es_task_free(s.task);
	close(s.in);
	es_manager_close(s.m);
	census_assert_empty(&s.env);
	env_clear(&s.env);
}
END_TEST

/* Names as long as they may be: no socket's path is too long. */
START_TEST(long_names)
{
	struct box box = { .args = SH("stty size; exit 3"), .terminal = true };
	struct es_task_opts opts = { .size = sizeof(opts) };
	char name[ES_ID_MAX + 1], dir[PATH_MAX];
	struct es_manager *m;
	struct es_task *task;
	struct es_exit exit;
	struct reader out;
	struct env env;

	env_init(&env);
	env_busybox(&env);
	snprintf(dir, sizeof(dir), "/%0100d", 7);
	strncat(env.state, dir, sizeof(env.state) - strlen(env.state) - 1);
	m = env_open(&env);
	memset(name, 'n', ES_ID_MAX);
	name[ES_ID_MAX] = '\0';
	box.out = opts.stdout_path = make_fifo(&env, "out");
	opts.spec = box_spec(&env, "long", &box);
	opts.error = &env.error;
	reader_open(&out, box.out);
	ck_assert_msg(es_task_create(m, name, name, &opts, &task) == 0, "%s", env.error.message);
	ck_assert_int_eq(es_task_resize(task, 10, 20), 0);
	ck_assert_msg(es_task_start(task, &env.error) == 0, "%s", env.error.message);
	ck_assert(reader_wait_for(&out, "20 10\r\n"));
	ck_assert_int_eq(es_task_wait(task, 20000, &exit), 0);
	ck_assert_int_eq(exit.code, 3);
	ck_assert_int_eq(es_task_delete(task, NULL, &env.error), 0);
	reader_wait_end(&out);
	es_task_free(task);
	es_manager_close(m);
	env_clear(&env);
}
END_TEST

/* A restored container has its terminal from the restore. criu is played by create and start. */
START_TEST(restored)
{
	struct box box = { .args = SH("echo up; read x; exit 4"), .terminal = true };
	struct es_task_opts opts = { .size = sizeof(opts), .restore_path = "/image" };
	struct session s;
	char runtime[PATH_MAX];

	env_init(&s.env);
	env_busybox(&s.env);
	snprintf(runtime, sizeof(runtime), "%s/runtime", s.env.dir);
	write_script(runtime,
		     "#!/bin/sh\n"
		     "case \" $* \" in *' restore '*) ;; *) exec runc \"$@\" ;; esac\n"
		     "globals=\"$1 $2 $3 $4 $5 $6\"\n"
		     "shift 13\n" /* restore --image-path x --work-path x --detach --no-subreaper */
		     "for id; do :; done\n"
		     "runc $globals create \"$@\" && exec runc $globals start \"$id\"\n");
	s.m = env_open(&s.env);
	opts.runtime = runtime;
	opts.spec = box_spec(&s.env, "box", &box);
	opts.stdin_path = make_fifo(&s.env, "in");
	opts.stdout_path = make_fifo(&s.env, "out");
	opts.error = &s.env.error;
	reader_open(&s.out, opts.stdout_path);
	ck_assert_msg(es_task_create(s.m, "test", "box", &opts, &s.task) == 0, "%s",
		      s.env.error.message);
	ck_assert_int_eq(es_task_resize(s.task, 80, 25), -EBUSY);
	ck_assert_int_eq(es_task_close_stdin(s.task), -EBUSY);
	s.in_path = opts.stdin_path;
	session_start(&s);
	ck_assert(reader_wait_for(&s.out, "up\r\n"));
	ck_assert_int_eq(es_task_resize(s.task, 80, 25), 0);
	say(s.in, "on\n");
	session_end(&s, 4);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = { shell,  interrupt,   through_and_through, hostile,
				       filled, dead_helper, long_names,		 restored };

	require_runtime();
	return run_suite("terminal", tests, sizeof(tests) / sizeof(tests[0]), 600);
}
