/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The manager is killed while a shell is open on a terminal, a cat waits on its input, a logger
 * writes and execs run: none of them notices, and the next manager has all of them.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "stream.h"

/* The clients' side, which outlives the manager. */
struct world {
	struct env env;
	struct reader shell, cat;
	int to_shell, to_cat;
	char uri[2 * PATH_MAX], in[4][PATH_MAX];
};

#define COUNTER "i=0; while :; do echo $i; i=$((i+1)); [ $((i % 100)) = 0 ] && usleep 1000; done"

static void add_exec(struct env *env, struct es_task *task, const char *id, const char *kind)
{
	struct es_exec_opts opts = { .size = sizeof(opts), .error = &env->error };
	struct es_exec *exec;
	char process[256];
	int r;

	snprintf(process, sizeof(process),
		 "{\"args\":[\"/victim\",\"%s\",\"9\"],\"cwd\":\"/\",\"env\":[],"
		 "\"user\":{\"uid\":0,\"gid\":0}}",
		 kind);
	opts.process = process;
	r = es_exec_create(task, id, &opts, &exec);
	ck_assert_msg(r == 0, "%s", env->error.message);
	r = es_exec_start(exec, &env->error);
	ck_assert_msg(r == 0, "%s", env->error.message);
}

/* The first manager. */
static void live(void *arg)
{
	struct world *w = arg;
	struct es_manager *m = env_open(&w->env);
	struct box shell = { .args = SH("while read x; do echo \"shell $x\"; stty size; done"),
			     .terminal = true,
			     .in = w->in[0],
			     .out = w->in[1] };
	struct box cat = { .args = { "/bin/busybox", "cat" }, .in = w->in[2], .out = w->in[3] };
	struct box counter = { .args = SH(COUNTER), .out = w->uri };
	struct es_task *task;

	task = box_run(&w->env, m, "shell", &shell);
	add_exec(&w->env, task, "one", "sleep");
	add_exec(&w->env, task, "two", "sleep");
	add_exec(&w->env, task, "three", "sleep");
	add_exec(&w->env, task, "ends", "late-exit");
	box_run(&w->env, m, "cat", &cat);
	box_run(&w->env, m, "counter", &counter);
	kill(getpid(), SIGKILL);
}

static void open_world(struct world *w)
{
	char path[PATH_MAX];

	env_init(&w->env);
	env_busybox(&w->env);
	snprintf(path, sizeof(path), "%s/logger", w->env.dir);
	write_script(path, "#!/bin/sh\nexec 5>&-\ncat <&3 >$2\n");
	snprintf(w->uri, sizeof(w->uri), "binary://%s?to=%s/log", path, w->env.dir);
}

static void open_clients(struct world *w)
{
	static const char *const names[] = { "shell-in", "shell-out", "cat-in", "cat-out" };

	for (int i = 0; i < 4; i++)
		snprintf(w->in[i], sizeof(w->in[i]), "%s", make_fifo(&w->env, names[i]));
	reader_open(&w->shell, w->in[1]);
	reader_open(&w->cat, w->in[3]);
}

static struct es_task *get(struct es_manager *m, const char *id)
{
	struct es_task *task;

	ck_assert_msg(es_manager_get(m, "test", id, &task) == 0, "%s is lost", id);
	return task;
}

/* The logger has every line from the first to the last. */
static void check_log(const struct world *w)
{
	char path[PATH_MAX], line[32];
	long expected = 0;
	FILE *f;

	snprintf(path, sizeof(path), "%s/log", w->env.dir);
	f = fopen(path, "re");
	ck_assert_ptr_nonnull(f);
	while (fgets(line, sizeof(line), f) && strchr(line, '\n'))
		ck_assert_int_eq(atol(line), expected++);
	fclose(f);
	ck_assert_int_gt(expected, 100);
	unlink(path);
}

static void check_execs(struct es_task *task)
{
	static const char *const ids[] = { "one", "two", "three" };
	struct es_exec **list, *exec;
	struct es_exit exit;

	ck_assert_int_eq(es_task_list_execs(task, &list), 4);
	es_exec_list_free(list);
	ck_assert_int_eq(es_task_get_exec(task, "ends", &exec), 0);
	ck_assert_int_eq(es_exec_wait(exec, 20000, &exit), 0);
	ck_assert_int_eq(exit.code, 9);
	ck_assert_uint_eq(exit.source, ES_EXIT_BPF);
	es_exec_free(exec);
	for (int i = 0; i < 3; i++) {
		ck_assert_int_eq(es_task_get_exec(task, ids[i], &exec), 0);
		ck_assert_int_eq(es_exec_wait(exec, 0, NULL), -ETIMEDOUT);
		ck_assert_int_eq(es_exec_kill(exec, SIGTERM), 0);
		ck_assert_int_eq(es_exec_wait(exec, 20000, &exit), 0);
		ck_assert_int_eq(exit.code, 143);
		es_exec_free(exec);
	}
}

/* The second manager. */
static void check(struct world *w)
{
	struct es_manager *m = env_open(&w->env);
	struct es_task *shell = get(m, "shell"), *cat = get(m, "cat"), *counter = get(m, "counter");

	ck_assert_int_eq(es_task_has_terminal(shell), 1);
	w->to_shell = open(w->in[0], O_WRONLY | O_CLOEXEC);
	w->to_cat = open(w->in[2], O_WRONLY | O_CLOEXEC);
	ck_assert_int_eq(es_task_resize(shell, 77, 33), 0);
	say(w->to_shell, "hello\n");
	ck_assert(reader_wait_for(&w->shell, "shell hello\r\n33 77\r\n"));
	say(w->to_cat, "over there\n");
	ck_assert(reader_wait_for(&w->cat, "over there\n"));
	check_execs(shell);
	/* ^D, as a client of a terminal ends the input. */
	say(w->to_shell, "\x04");
	reader_wait_end(&w->shell);
	box_end(&w->env, shell, 0);
	ck_assert_int_eq(es_task_close_stdin(cat), 0);
	close(w->to_cat);
	close(w->to_shell);
	reader_wait_end(&w->cat);
	box_end(&w->env, cat, 0);
	es_task_kill(counter, SIGKILL);
	box_end(&w->env, counter, 137);
	check_log(w);
	es_manager_close(m);
	census_assert_empty(&w->env);
}

START_TEST(nothing_is_lost)
{
	int rounds = test_count(3, 50);
	struct world w;

	open_world(&w);
	for (int i = 0; i < rounds; i++) {
		open_clients(&w);
		ck_assert_int_ne(in_child(live, &w), 0);
		/* One exec ends meanwhile, with 9. */
		sleep_ms(i % 2 ? 0 : 900);
		check(&w);
	}
	printf("%d rounds: a shell, a cat, a logger and four execs survived\n", rounds);
	env_clear(&w.env);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = { nothing_is_lost };

	require_runtime();
	return run_suite("stream_restart", tests, sizeof(tests) / sizeof(tests[0]), 900);
}
