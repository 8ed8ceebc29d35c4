/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kill -9 of the manager at every step of the life of a container with a terminal and a logger and
 * of its execs: neither a helper nor a logger is left, and a shell that ran is still there.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "step.h"
#include "stream.h"

/* Shared with the child that dies. */
static struct shared {
	int die_at, steps;
	int started, deleting;
	char last[48];
} * shared;

/* What all lives have. */
static struct place {
	struct env env;
	char in[PATH_MAX], exec_in[PATH_MAX], uri[2 * PATH_MAX];
} place;

static void count_step(const char *name)
{
	int n = shared->steps++;

	snprintf(shared->last, sizeof(shared->last), "%s", name);
	if (n == shared->die_at)
		kill(getpid(), SIGKILL);
}

static void run_exec(struct es_task *task)
{
	struct es_exec_opts opts = { .size = sizeof(opts),
				     .error = &place.env.error,
				     .stdin_path = place.exec_in,
				     .stdout_path = place.uri };
	struct es_exec *exec;

	opts.process = "{\"args\":[\"/bin/busybox\",\"cat\"],\"cwd\":\"/\","
		       "\"user\":{\"uid\":0,\"gid\":0}}";
	ck_assert_int_eq(es_exec_create(task, "exec", &opts, &exec), 0);
	ck_assert_msg(es_exec_start(exec, &place.env.error) == 0, "%s", place.env.error.message);
	ck_assert_int_eq(es_exec_close_stdin(exec), 0);
	ck_assert_int_eq(es_exec_wait(exec, 20000, NULL), 0);
	ck_assert_int_eq(es_exec_delete(exec, NULL, &place.env.error), 0);
	es_exec_free(exec);
}

static void live(void *arg)
{
	struct box box = { .args = SH("while [ ! -e /go-life ]; do usleep 5000; done; exit 42"),
			   .terminal = true,
			   .in = place.in,
			   .out = place.uri };
	struct es_manager *m = env_open(&place.env);
	struct es_task *task;

	(void)arg;
	es_step_hook = count_step;
	task = box_run(&place.env, m, "life", &box);
	shared->started = 1;
	run_exec(task);
	box_go(&place.env, "life");
	ck_assert_int_eq(es_task_wait(task, 20000, NULL), 0);
	shared->deleting = 1;
	box_delete(&place.env, task);
	es_manager_close(m);
}

static void end_life(struct es_manager *m)
{
	struct es_task_state state;
	struct es_exec **execs;
	struct es_task *task;
	struct es_exit exit;
	int n;

	ck_assert_int_eq(es_manager_get(m, "test", "life", &task), 0);
	ck_assert_int_eq(es_task_state(task, &state), 0);
	if (state.status == ES_TASK_CREATED && es_task_start(task, &place.env.error) < 0)
		wait_until(es_task_state(task, &state) == 0 && state.status != ES_TASK_CREATED);
	/* The terminal is there, as long as there is somebody to see it. */
	if (es_task_state(task, &state) == 0 && state.status == ES_TASK_RUNNING) {
		n = es_task_resize(task, 80, 25);
		/* Its gate may be open already. */
		ck_assert_msg(n == 0 || n == -ESRCH, "after %s: %d", shared->last, n);
	}
	n = es_task_list_execs(task, &execs);
	for (int i = 0; i < n; i++) {
		struct es_exec_state s;

		ck_assert_int_eq(es_exec_state(execs[i], &s), 0);
		if (s.status == ES_TASK_CREATED && state.status == ES_TASK_RUNNING)
			ck_assert_msg(es_exec_start(execs[i], &place.env.error) == 0,
				      "after %s: %s", shared->last, place.env.error.message);
		if (es_exec_state(execs[i], &s) == 0 && s.status == ES_TASK_RUNNING) {
			ck_assert_msg(es_exec_close_stdin(execs[i]) == 0, "after %s", shared->last);
			ck_assert_int_eq(es_exec_wait(execs[i], 20000, &exit), 0);
			ck_assert_msg(exit.code == 0, "after %s: %d", shared->last, exit.code);
		}
	}
	es_exec_list_free(execs);
	box_go(&place.env, "life");
	ck_assert_int_eq(es_task_wait(task, 20000, &exit), 0);
	ck_assert_msg(exit.code == 42, "after %s: code %d", shared->last, exit.code);
	box_delete(&place.env, task);
}

static void check_life(void)
{
	struct es_manager *m = env_open(&place.env);
	struct es_task **list;
	int n;

	ck_assert_int_eq(es_manager_settle(m, 40000), 0);
	n = es_manager_list(m, "test", &list);
	es_task_list_free(list);
	if (shared->started && !shared->deleting)
		ck_assert_msg(n == 1, "lost after %s", shared->last);
	if (n == 1)
		end_life(m);
	es_manager_close(m);
	census_assert_empty(&place.env);
}

static void forget_gate(void)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/go-life", place.env.rootfs);
	unlink(path);
}

static void set_up(void)
{
	char path[PATH_MAX];

	env_init(&place.env);
	env_busybox(&place.env);
	snprintf(place.in, sizeof(place.in), "%s", make_fifo(&place.env, "in"));
	snprintf(place.exec_in, sizeof(place.exec_in), "%s", make_fifo(&place.env, "exec-in"));
	snprintf(path, sizeof(path), "%s/logger", place.env.dir);
	write_script(path, "#!/bin/sh\nprintf r >&5; exec 5>&-\ncat <&3 >>$2\n");
	snprintf(place.uri, sizeof(place.uri), "binary-v2://%s?to=%s/log", path, place.env.dir);
}

START_TEST(every_step)
{
	int steps;

	set_up();
	memset(shared, 0, sizeof(*shared));
	shared->die_at = -1;
	ck_assert_int_eq(in_child(live, NULL), 0);
	steps = shared->steps;
	printf("a life with streams has %d steps\n", steps);
	for (int i = 0; i < steps; i++) {
		int status;

		forget_gate();
		memset(shared, 0, sizeof(*shared));
		shared->die_at = i;
		status = in_child(live, NULL);
		ck_assert_msg(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL,
			      "step %d was not reached", i);
		check_life();
	}
	env_clear(&place.env);
}
END_TEST

/* Not only between the steps. */
START_TEST(any_moment)
{
	int rounds = test_count(15, 40);

	set_up();
	srand(3);
	for (int i = 0; i < rounds; i++) {
		pid_t pid;

		forget_gate();
		memset(shared, 0, sizeof(*shared));
		shared->die_at = -1;
		pid = start_child(live, NULL);
		usleep((useconds_t)(rand() % 250000));
		kill_child(pid);
		check_life();
	}
	printf("%d lives with streams killed at random moments: nothing left, nothing lost\n",
	       rounds);
	env_clear(&place.env);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = { every_step, any_moment };

	require_runtime();
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		      0);
	return run_suite("stream_crash", tests, sizeof(tests) / sizeof(tests[0]), 900);
}
