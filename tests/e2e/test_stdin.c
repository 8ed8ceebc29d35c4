/* SPDX-License-Identifier: Apache-2.0 */
/* Standard input of tasks and execs, and streams of which some are missing. */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "stream.h"

static int open_writer(const char *path)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	ck_assert_int_ge(fd, 0);
	return fd;
}

START_TEST(cat_ends)
{
	struct box box = { .args = SH("cat; echo done") };
	struct es_manager *m;
	struct es_task *task;
	struct reader out;
	struct env env;
	int in;

	m = env_open_busybox(&env);
	box.in = make_fifo(&env, "in");
	box.out = make_fifo(&env, "out");
	reader_open(&out, box.out);
	task = box_run(&env, m, "box", &box);
	ck_assert_int_eq(es_task_has_terminal(task), 0);
	ck_assert_int_eq(es_task_resize(task, 80, 25), -ENOTTY);
	in = open_writer(box.in);
	say(in, "one ");
	ck_assert(reader_wait_for(&out, "one "));
	/* A client goes, another comes. */
	close(in);
	sleep_ms(50);
	ck_assert_int_eq(es_task_wait(task, 0, NULL), -ETIMEDOUT);
	in = open_writer(box.in);
	ck_assert_int_eq(es_task_close_stdin(task), 0);
	ck_assert_int_eq(es_task_close_stdin(task), 0);
	/* What it still writes comes before the end. */
	say(in, "two ");
	close(in);
	ck_assert(reader_wait_for(&out, "one two done"));
	reader_wait_end(&out);
	box_end(&env, task, 0);
	env_finish(&env, m);
}
END_TEST

START_TEST(close_without_client)
{
	struct box box = { .args = SH("cat; exit 5") };
	struct es_manager *m;
	struct es_task *task;
	struct env env;

	m = env_open_busybox(&env);
	box.in = make_fifo(&env, "in");
	task = box_run(&env, m, "box", &box);
	ck_assert_int_eq(es_task_close_stdin(task), 0);
	box_end(&env, task, 5);
	/* Neither stdin nor anything else. */
	box = (struct box){ .args = SH("cat; exit 6") };
	task = box_run(&env, m, "box", &box);
	ck_assert_int_eq(es_task_close_stdin(task), 0);
	box_end(&env, task, 6);
	env_finish(&env, m);
}
END_TEST

/* One stream each: the others are /dev/null, and none of our processes is there without stdin. */
START_TEST(partial_sets)
{
	struct es_manager *m;
	struct env env;

	m = env_open_busybox(&env);
	for (int i = 1; i < 3; i++) {
		struct box box = { .args = SH("echo to-out; echo to-err >&2; cat; exit 3") };
		struct es_task *task;
		struct reader r;

		if (i == 1)
			box.out = make_fifo(&env, "one");
		else
			box.err = make_fifo(&env, "one");
		reader_open(&r, i == 1 ? box.out : box.err);
		task = box_run(&env, m, "box", &box);
		ck_assert(reader_wait_for(&r, i == 1 ? "to-out" : "to-err"));
		reader_wait_end(&r);
		ck_assert_uint_eq(r.total, 7);
		box_end(&env, task, 3);
	}
	env_finish(&env, m);
}
END_TEST

struct feed {
	const char *path;
	uint64_t bytes;
};

static void *feed(void *arg)
{
	const struct feed *f = arg;
	int fd = open_writer(f->path);

	write_pattern(fd, f->bytes);
	close(fd);
	return NULL;
}

START_TEST(through_and_through)
{
	uint64_t bytes = (uint64_t)test_count(20, 100) << 20;
	struct box box = { .args = { "/bin/busybox", "cat" } };
	struct feed f = { .bytes = bytes };
	struct es_manager *m;
	struct es_task *task;
	struct reader out;
	pthread_t thread;
	struct env env;

	m = env_open_busybox(&env);
	f.path = box.in = make_fifo(&env, "in");
	box.out = make_fifo(&env, "out");
	reader_open(&out, box.out);
	task = box_create(&env, m, "box", &box);
	pthread_create(&thread, NULL, feed, &f);
	ck_assert(wait_until(access(box.in, W_OK) == 0));
	ck_assert_int_eq(es_task_start(task, &env.error), 0);
	sleep_ms(100);
	ck_assert_int_eq(es_task_close_stdin(task), 0);
	reader_wait_end(&out);
	pthread_join(thread, NULL);
	ck_assert_uint_eq(out.total, bytes);
	ck_assert_uint_eq(out.sum, pattern_sum(bytes));
	box_end(&env, task, 0);
	env_finish(&env, m);
}
END_TEST

static const char *process(const char *script, int uid, bool terminal)
{
	static char text[1024];

	snprintf(text, sizeof(text),
		 "{\"args\":[\"/bin/busybox\",\"sh\",\"-c\",\"%s\"],\"cwd\":\"/\","
		 "\"env\":[\"PATH=/bin\"],\"terminal\":%s,\"user\":{\"uid\":%d,\"gid\":%d}}",
		 script, terminal ? "true" : "false", uid, uid);
	return text;
}

static struct es_exec *start_exec(struct env *env, struct es_task *task, struct es_exec_opts *opts)
{
	struct es_exec *exec = NULL;
	int r;

	opts->size = sizeof(*opts);
	opts->error = &env->error;
	r = es_exec_create(task, "exec", opts, &exec);
	ck_assert_msg(r == 0, "%s", env->error.message);
	ck_assert_int_eq(es_exec_resize(exec, 80, 25),
			 es_exec_has_terminal(exec) ? -EBUSY : -ENOTTY);
	ck_assert_int_eq(es_exec_close_stdin(exec), opts->stdin_path ? -EBUSY : 0);
	r = es_exec_start(exec, &env->error);
	ck_assert_msg(r == 0, "%s", env->error.message);
	return exec;
}

static void end_exec(struct env *env, struct es_exec *exec, int code)
{
	struct es_exit exit;

	ck_assert_int_eq(es_exec_wait(exec, 20000, &exit), 0);
	ck_assert_int_eq(exit.code, code);
	ck_assert_int_eq(es_exec_close_stdin(exec), 0);
	ck_assert_msg(es_exec_delete(exec, NULL, &env->error) == 0, "%s", env->error.message);
	es_exec_free(exec);
}

static const struct box sleeper = { .args = { "/victim", "sleep", "0" } };

START_TEST(execs)
{
	struct es_manager *m;
	struct es_exec *exec;
	struct es_task *task;
	struct reader out;
	struct env env;
	int in;

	m = env_open_busybox(&env);
	task = box_run(&env, m, "box", &sleeper);
	for (int terminal = 0; terminal < 2; terminal++) {
		struct es_exec_opts opts = {
			.process = process("read x; stty size; echo got $x; exit 4", 0, terminal),
			.stdin_path = make_fifo(&env, "in"),
			.stdout_path = make_fifo(&env, "out")
		};

		reader_open(&out, opts.stdout_path);
		exec = start_exec(&env, task, &opts);
		in = open_writer(opts.stdin_path);
		ck_assert_int_eq(es_exec_resize(exec, 90, 30), terminal ? 0 : -ENOTTY);
		say(in, "word\n");
		ck_assert(reader_wait_for(&out, "got word"));
		if (terminal)
			ck_assert(reader_wait_for(&out, "30 90\r\n"));
		reader_wait_end(&out);
		close(in);
		if (terminal) {
			ck_assert_int_eq(es_exec_wait(exec, 20000, NULL), 0);
			ck_assert_int_eq(es_exec_resize(exec, 90, 30), -ESRCH);
		}
		end_exec(&env, exec, 4);
	}
	/* One that ends at once shows what it had to say. */
	for (int i = 0; i < test_count(10, 100); i++) {
		struct es_exec_opts opts = { .process = process("echo brief", 0, true),
					     .stdout_path = make_fifo(&env, "out") };

		reader_open(&out, opts.stdout_path);
		exec = start_exec(&env, task, &opts);
		ck_assert(reader_wait_for(&out, "brief"));
		reader_wait_end(&out);
		end_exec(&env, exec, 0);
	}
	es_task_kill(task, SIGKILL);
	box_end(&env, task, 137);
	env_finish(&env, m);
}
END_TEST

/* What an exec leaves running keeps its pipe: its delete does not wait for that. */
START_TEST(left_running)
{
	struct es_manager *m;
	struct es_exec *exec;
	struct es_task *task;
	struct env env;

	m = env_open_busybox(&env);
	task = box_run(&env, m, "box", &sleeper);
	{
		struct es_exec_opts opts = { .process = process("sleep 1000 & exit 2", 0, false),
					     .stdin_path = make_fifo(&env, "in"),
					     .stdout_path = make_fifo(&env, "out") };

		exec = start_exec(&env, task, &opts);
		end_exec(&env, exec, 2);
	}
	{
		struct es_exec_opts opts = { .process = process("no such program", 0, true),
					     .stdin_path = make_fifo(&env, "in"),
					     .stdout_path = make_fifo(&env, "out") };

		opts.process = "{\"args\":[\"/nowhere\"],\"cwd\":\"/\",\"terminal\":true,"
			       "\"user\":{\"uid\":0,\"gid\":0}}";
		opts.size = sizeof(opts);
		opts.error = &env.error;
		ck_assert_int_eq(es_exec_create(task, "bad", &opts, &exec), 0);
		ck_assert_int_eq(es_exec_start(exec, &env.error), -EIO);
		ck_assert_msg(strstr(env.error.message, "/nowhere") != NULL, "%s",
			      env.error.message);
		/* No helper of the exec, which would have its directory as its own. */
		ck_assert_int_eq(census_take(&env).runtimes, 0);
		ck_assert_int_eq(es_exec_delete(exec, NULL, &env.error), 0);
		es_exec_free(exec);
	}
	es_task_kill(task, SIGKILL);
	box_end(&env, task, 137);
	env_finish(&env, m);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = { cat_ends,     close_without_client,
				       partial_sets, through_and_through,
				       execs,	     left_running };

	require_runtime();
	return run_suite("stdin", tests, sizeof(tests) / sizeof(tests[0]), 600);
}
