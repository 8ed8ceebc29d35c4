/* SPDX-License-Identifier: Apache-2.0 */
/* The container as a whole: pause, resume, update, its processes, memory kills, all that is left.
 */
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "support.h"

static const struct box family = { .args = { "/victim", "family", "5" } };

static uint32_t status_of(struct es_task *task)
{
	struct es_task_state state;

	ck_assert_int_eq(es_task_state(task, &state), 0);
	return state.status;
}

static int count_pids(struct es_task *task)
{
	int32_t *pids = NULL;
	int n = es_task_pids(task, &pids);

	free(pids);
	return n;
}

START_TEST(pause_and_resume)
{
	struct es_manager *m;
	struct es_task *task;
	struct env env;

	env_init(&env);
	m = env_open(&env);
	task = box_create(&env, m, "box", &family);
	ck_assert_int_eq(es_task_pause(task, &env.error), -EBUSY);
	ck_assert_int_eq(es_task_start(task, &env.error), 0);
	ck_assert_int_eq(es_task_resume(task, &env.error), -EBUSY);
	ck_assert_msg(es_task_pause(task, &env.error) == 0, "%s", env.error.message);
	ck_assert_uint_eq(status_of(task), ES_TASK_PAUSED);
	ck_assert_int_eq(es_task_pause(task, &env.error), -EBUSY);
	ck_assert_int_eq(es_task_delete(task, NULL, &env.error), -EBUSY);
	es_task_free(task);
	es_manager_close(m);

	m = env_open(&env);
	ck_assert_int_eq(es_manager_get(m, "test", "box", &task), 0);
	ck_assert_uint_eq(status_of(task), ES_TASK_PAUSED);
	ck_assert_msg(es_task_resume(task, &env.error) == 0, "%s", env.error.message);
	ck_assert_uint_eq(status_of(task), ES_TASK_RUNNING);
	/* What is frozen dies all the same. */
	ck_assert_int_eq(es_task_pause(task, &env.error), 0);
	ck_assert_int_eq(es_task_kill(task, SIGKILL), 0);
	ck_assert_int_eq(es_task_wait(task, 10000, NULL), 0);
	ck_assert_int_eq(es_task_pause(task, &env.error), -EBUSY);
	box_delete(&env, task);
	env_finish(&env, m);
}
END_TEST

START_TEST(update)
{
	static const char *const bad[] = { "", "7", "[1]", "{" };
	static const char good[] = "{\"memory\":{\"limit\":67108864}}";
	struct es_manager *m;
	struct es_task *task;
	struct env env;

	env_init(&env);
	m = env_open(&env);
	task = box_run(&env, m, "box", &family);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		ck_assert_int_eq(es_task_update(task, bad[i], 0, &env.error), -EINVAL);
	ck_assert_msg(es_task_update(task, good, 0, &env.error) == 0, "%s", env.error.message);
	ck_assert_uint_eq(status_of(task), ES_TASK_RUNNING);
	ck_assert_int_eq(es_task_kill(task, SIGKILL), 0);
	ck_assert_int_eq(es_task_wait(task, 10000, NULL), 0);
	ck_assert_int_eq(es_task_update(task, good, 0, &env.error), -EBUSY);
	box_delete(&env, task);
	env_finish(&env, m);
}
END_TEST

START_TEST(processes)
{
	struct es_manager *m;
	struct es_task *task;
	struct env env;

	env_init(&env);
	m = env_open(&env);
	task = box_run(&env, m, "box", &family);
	ck_assert(wait_until(count_pids(task) == 6));
	ck_assert_ptr_nonnull(es_task_cgroups(task));
	ck_assert_int_eq(es_task_kill_all(task, 0), -EINVAL);
	ck_assert_int_eq(es_task_kill_all(task, 65), -EINVAL);
	/* Init of a PID namespace is not ended by it, its children are. */
	ck_assert_int_eq(es_task_kill_all(task, SIGTERM), 6);
	es_task_free(task);
	es_manager_close(m);
	m = env_open(&env);
	ck_assert_int_eq(es_manager_get(m, "test", "box", &task), 0);
	ck_assert_int_ge(es_task_kill_all(task, SIGKILL), 1);
	ck_assert_int_eq(es_task_wait(task, 10000, NULL), 0);
	ck_assert(wait_until(count_pids(task) <= 0));
	box_delete(&env, task);
	env_finish(&env, m);
}
END_TEST

/* Without a PID namespace the end of init ends nobody: we do, before its exit is known. */
START_TEST(shared_pid_namespace)
{
	struct box box = { .args = { "/victim", "leave-children", "3" }, .host_pid = true };
	struct es_manager *m;
	struct es_task *task;
	struct es_exit exit;
	struct env env;

	env_init(&env);
	m = env_open(&env);
	task = box_run(&env, m, "box", &box);
	ck_assert_int_eq(es_task_wait(task, 10000, &exit), 0);
	ck_assert_int_eq(exit.code, 3);
	ck_assert(wait_until(count_pids(task) <= 0));
	box_delete(&env, task);
	env_finish(&env, m);
}
END_TEST

static void take_event(struct es_manager *m, struct es_event *ret)
{
	struct pollfd fd = { .fd = es_manager_fd(m), .events = POLLIN };
	int r;

	do {
		ck_assert_int_gt(poll(&fd, 1, 20000), 0);
		r = es_manager_next_event(m, ret);
		ck_assert_int_ge(r, 0);
	} while (r == 0);
}

/* The next events are the exits of both containers, in either order; after memory kills of the
   second if it had some that were not told. */
static void expect_exits(struct es_manager *m, bool killed)
{
	struct es_event event;

	for (int sum = 0; sum != 5 + 6;) {
		take_event(m, &event);
		if (event.type == ES_EVENT_OOM) {
			ck_assert(killed);
			ck_assert_str_eq(es_task_id(event.task), "late");
			killed = false;
		} else {
			ck_assert_uint_eq(event.type, ES_EVENT_EXIT);
			ck_assert(event.exit.code == 5 || !killed);
			sum += event.exit.code;
		}
		es_event_clear(&event);
	}
	ck_assert(!killed);
	ck_assert_int_eq(es_manager_next_event(m, &event), 0);
}

START_TEST(oom)
{
	struct box child = { .args = { "/victim", "-w", "/go-child", "oom-child", "5" },
			     .memory_limit = 32 << 20 };
	struct box late = { .args = { "/victim", "-w", "/go-late", "oom-child", "6" },
			    .memory_limit = 32 << 20 };
	struct es_manager *m;
	struct es_event event;
	struct es_task *task;
	struct env env;

	env_init(&env);
	m = env_open(&env);
	es_task_free(box_run(&env, m, "child", &child));
	es_task_free(box_run(&env, m, "late", &late));
	box_go(&env, "child");
	take_event(m, &event);
	ck_assert_uint_eq(event.type, ES_EVENT_OOM);
	ck_assert_str_eq(es_task_id(event.task), "child");
	es_event_clear(&event);
	take_event(m, &event);
	ck_assert_uint_eq(event.type, ES_EVENT_EXIT);
	ck_assert_int_eq(event.exit.code, 5);
	es_event_clear(&event);
	es_manager_close(m);

	/* Nobody looks. */
	box_go(&env, "late");
	sleep_ms(700);
	m = env_open(&env);
	expect_exits(m, true);
	es_manager_close(m);
	m = env_open(&env);
	expect_exits(m, false);
	ck_assert_int_eq(es_manager_get(m, "test", "child", &task), 0);
	box_delete(&env, task);
	ck_assert_int_eq(es_manager_get(m, "test", "late", &task), 0);
	box_delete(&env, task);
	env_finish(&env, m);
}
END_TEST

static void *state_beside(void *arg)
{
	struct es_task_state state;

	for (int i = 0; i < 2000; i++)
		ck_assert_int_eq(es_task_state(arg, &state), 0);
	return NULL;
}

/* Calls that change one task take turns; looking at it never waits. */
static void *pause_and_go_on(void *arg)
{
	struct es_error error;

	for (int i = 0; i < 5; i++) {
		es_task_pause(arg, &error);
		es_task_resume(arg, &error);
	}
	return NULL;
}

START_TEST(at_once)
{
	pthread_t threads[4], looking;
	struct es_manager *m;
	struct es_task *task;
	struct env env;

	env_init(&env);
	m = env_open(&env);
	task = box_run(&env, m, "box", &family);
	pthread_create(&looking, NULL, state_beside, task);
	for (int i = 0; i < 4; i++)
		pthread_create(&threads[i], NULL, pause_and_go_on, task);
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	pthread_join(looking, NULL);
	if (status_of(task) == ES_TASK_PAUSED)
		ck_assert_int_eq(es_task_resume(task, &env.error), 0);
	ck_assert_uint_eq(status_of(task), ES_TASK_RUNNING);
	ck_assert_int_eq(es_task_kill(task, SIGKILL), 0);
	ck_assert_int_eq(es_task_wait(task, 10000, NULL), 0);
	box_delete(&env, task);
	env_finish(&env, m);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = { pause_and_resume,     update, processes,
				       shared_pid_namespace, oom,    at_once };

	require_runtime();
	return run_suite("control", tests, sizeof(tests) / sizeof(tests[0]), 300);
}
