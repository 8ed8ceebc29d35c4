/* SPDX-License-Identifier: Apache-2.0 */
/* Many threads on one manager, for the thread sanitizer and for every race that has a wrong end. */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support.h"

#define WORKERS 4

struct work {
	struct env *env;
	struct es_manager *m;
	int number, rounds;
	atomic_int *done;
	int failures;
};

static void check(struct work *w, bool ok, const char *what)
{
	if (ok)
		return;
	w->failures++;
	printf("worker %d: %s\n", w->number, what);
}

static void *wait_for(void *arg)
{
	es_task_wait(arg, 20000, NULL);
	return NULL;
}

static void one_life(struct work *w, int round)
{
	struct es_error error = { 0 };
	struct es_task_opts opts = { .size = sizeof(opts), .error = &error };
	struct box box = { .args = { "/victim", "sleep", "0" } };
	struct es_task *task, *same;
	struct es_task_state state;
	struct es_exit exit, again;
	pthread_t waiter;
	char id[32];

	snprintf(id, sizeof(id), "t-%d-%d", w->number, round);
	opts.spec = box_spec(w->env, id, &box);
	if (es_task_create(w->m, "test", id, &opts, &task) < 0) {
		check(w, false, error.message);
		return;
	}
	check(w, es_manager_get(w->m, "test", id, &same) == 0 && same == task, "get");
	es_task_free(same);
	check(w, es_task_start(task, NULL) == 0, "start");
	check(w, pthread_create(&waiter, NULL, wait_for, task) == 0, "thread");
	check(w, es_task_state(task, &state) == 0 && state.status == ES_TASK_RUNNING, "state");
	check(w, es_task_kill(task, SIGKILL) == 0, "kill");
	check(w, es_task_wait(task, 20000, &exit) == 0 && exit.code == 137, "wait");
	pthread_join(waiter, NULL);
	check(w, es_task_delete(task, &again, NULL) == 0, "delete");
	check(w, memcmp(&exit, &again, sizeof(exit)) == 0, "same exit");
	es_task_free(task);
}

static void *work(void *arg)
{
	struct work *w = arg;

	for (int i = 0; i < w->rounds; i++)
		one_life(w, i);
	(*w->done)++;
	return NULL;
}

/* Takes exits and lists, as a host's event loop would beside the workers. */
static void *watch(void *arg)
{
	struct work *w = arg;

	while (*w->done < WORKERS) {
		struct pollfd fd = { .fd = es_manager_fd(w->m), .events = POLLIN };
		struct es_task **list;
		struct es_event event;

		poll(&fd, 1, 10);
		while (es_manager_next_event(w->m, &event) > 0)
			es_event_clear(&event);
		if (es_manager_list(w->m, NULL, &list) >= 0)
			es_task_list_free(list);
	}
	return NULL;
}

START_TEST(many_threads)
{
	pthread_t threads[WORKERS], watcher;
	struct work works[WORKERS];
	atomic_int done = 0;
	struct env env;
	struct es_manager *m;

	env_init(&env);
	m = env_open(&env);
	for (int i = 0; i < WORKERS; i++) {
		works[i] = (struct work){
			.env = &env, .m = m, .number = i, .rounds = test_count(8, 50), .done = &done
		};
		ck_assert_int_eq(pthread_create(&threads[i], NULL, work, &works[i]), 0);
	}
	ck_assert_int_eq(pthread_create(&watcher, NULL, watch, &works[0]), 0);
	for (int i = 0; i < WORKERS; i++) {
		pthread_join(threads[i], NULL);
		ck_assert_int_eq(works[i].failures, 0);
	}
	pthread_join(watcher, NULL);
	env_finish(&env, m);
}
END_TEST

static void *delete_it(void *arg)
{
	return (void *)(intptr_t)es_task_delete(arg, NULL, NULL);
}

/* Of several deletes one succeeds, and the others say why they did not. */
START_TEST(deletes_at_once)
{
	struct env env;
	struct es_manager *m;
	struct es_task *task;
	pthread_t threads[6];
	int succeeded = 0;

	env_init(&env);
	m = env_open(&env);
	task = box_run(&env, m, "once", &(struct box){ .args = { "/victim", "exit", "1" } });
	ck_assert_int_eq(es_task_wait(task, 20000, NULL), 0);
	for (int i = 0; i < 6; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, delete_it, task), 0);
	for (int i = 0; i < 6; i++) {
		void *result;
		int r;

		pthread_join(threads[i], &result);
		r = (int)(intptr_t)result;
		ck_assert(r == 0 || r == -EBUSY || r == -ENOENT);
		succeeded += r == 0;
	}
	ck_assert_int_eq(succeeded, 1);
	es_task_free(task);
	env_finish(&env, m);
}
END_TEST

/* A waiter learns of the close; handles stay usable until they are freed. */
START_TEST(close_under_waiters)
{
	struct box box = { .args = { "/victim", "sleep", "0" } };
	struct es_task_state state;
	struct env env;
	struct es_manager *m;
	struct es_task *task;
	pthread_t waiter;

	env_init(&env);
	m = env_open(&env);
	task = box_run(&env, m, "open", &box);
	ck_assert_int_eq(pthread_create(&waiter, NULL, wait_for, task), 0);
	sleep_ms(50);
	es_manager_close(m);
	pthread_join(waiter, NULL);
	ck_assert_int_eq(es_task_wait(task, 0, NULL), -ESHUTDOWN);
	ck_assert_int_eq(es_task_kill(task, SIGKILL), -ESHUTDOWN);
	ck_assert_int_eq(es_task_start(task, &env.error), -ESHUTDOWN);
	ck_assert_int_eq(es_task_delete(task, NULL, &env.error), -ESHUTDOWN);
	ck_assert_int_eq(es_task_state(task, &state), 0);
	ck_assert_uint_eq(state.status, ES_TASK_RUNNING);
	es_task_free(task);

	m = env_open(&env);
	ck_assert_int_eq(es_manager_get(m, "test", "open", &task), 0);
	ck_assert_int_eq(es_task_kill(task, SIGKILL), 0);
	ck_assert_int_eq(es_task_wait(task, -1, NULL), 0);
	box_delete(&env, task);
	env_finish(&env, m);
}
END_TEST

static void use_after_fork(void *arg)
{
	struct work *w = arg;
	struct es_task **list;
	struct es_event event;
	struct es_task *task;

	ck_assert_int_eq(es_manager_list(w->m, NULL, &list), -ECHILD);
	ck_assert_int_eq(es_manager_next_event(w->m, &event), -ECHILD);
	ck_assert_int_eq(es_manager_get(w->m, "test", "x", &task), -ECHILD);
	es_manager_close(w->m);
}

START_TEST(after_fork)
{
	struct env env;
	struct work w = { .env = &env };
	struct es_task **list, *task;

	env_init(&env);
	w.m = env_open(&env);
	ck_assert_int_eq(in_child(use_after_fork, &w), 0);
	/* The child's close has taken nothing from us. */
	ck_assert_int_eq(es_manager_list(w.m, NULL, &list), 0);
	es_task_list_free(list);
	task = box_run(&env, w.m, "x", &(struct box){ .args = { "/victim", "exit", "1" } });
	ck_assert_int_eq(es_task_wait(task, 20000, NULL), 0);
	box_delete(&env, task);
	env_finish(&env, w.m);
}
END_TEST

RUN_SUITE("threads", 300, many_threads, deletes_at_once, close_under_waiters, after_fork)
