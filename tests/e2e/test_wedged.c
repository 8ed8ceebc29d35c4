/* SPDX-License-Identifier: Apache-2.0 */
/* A runtime that hangs on one task holds up nobody else. */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "support.h"

struct wedged {
	struct env *env;
	struct es_manager *m;
	char runtime[PATH_MAX];
	uint32_t timeout_ms;
	_Atomic int result; /* of the create that hangs; 1 while it does */
};

/* Hangs in every command of the task "wedged", and is runc for all others. */
static void write_wedged_runtime(struct wedged *w)
{
	snprintf(w->runtime, sizeof(w->runtime), "%s/wedged-runtime", w->env->dir);
	write_script(w->runtime, "#!/bin/sh\ncase \"$*\" in *wedged) exec sleep 1000;; esac\n"
				 "exec runc \"$@\"\n");
}

static void *create_wedged(void *arg)
{
	struct wedged *w = arg;
	struct es_task_opts opts = { .size = sizeof(opts), .runtime = w->runtime };
	struct box box = { .args = { "/victim", "sleep", "0" } };
	struct es_task *task = NULL;

	opts.spec = box_spec(w->env, "wedged", &box);
	opts.runtime_timeout_ms = w->timeout_ms;
	w->result = es_task_create(w->m, "test", "wedged", &opts, &task);
	es_task_free(task);
	return NULL;
}

START_TEST(others_go_on)
{
	struct env env;
	struct wedged w = { .env = &env, .timeout_ms = 15000, .result = 1 };
	pthread_t thread;
	struct es_task *task;
	char id[16];

	env_init(&env);
	write_wedged_runtime(&w);
	w.m = env_open(&env);
	ck_assert_int_eq(pthread_create(&thread, NULL, create_wedged, &w), 0);
	sleep_ms(300);
	for (int i = 0; i < 50; i++) {
		snprintf(id, sizeof(id), "other-%d", i);
		task = box_run(&env, w.m, id, &(struct box){ .args = { "/victim", "exit", "4" } });
		box_end(&env, task, 4);
	}
	/* All of that happened while the other call was hanging. */
	ck_assert_int_eq(w.result, 1);
	/* Closing does not wait for it either; the hanging call ends by its own deadline. */
	es_manager_close(w.m);
	ck_assert_int_eq(w.result, 1);
	pthread_join(thread, NULL);
	ck_assert_int_eq(w.result, -ETIMEDOUT);
	census_assert_empty(&env);
	env_clear(&env);
}
END_TEST

static void hang_in_create(void *arg)
{
	struct wedged *w = arg;

	w->m = env_open(w->env);
	create_wedged(w);
}

START_TEST(reopen_does_not_wait)
{
	struct env env;
	struct wedged w = { .env = &env, .timeout_ms = 4000, .result = 1 };
	struct es_task *task;
	pid_t pid;

	env_init(&env);
	write_wedged_runtime(&w);
	pid = start_child(hang_in_create, &w);
	sleep_ms(700);
	kill_child(pid);
	w.m = env_open(&env);
	/* The orphaned runtime still hangs, and so will the one that deletes: it is not done. */
	ck_assert_int_eq(es_manager_settle(w.m, 0), -ETIMEDOUT);
	task = box_run(&env, w.m, "other", &(struct box){ .args = { "/victim", "exit", "5" } });
	box_end(&env, task, 5);
	ck_assert_int_eq(es_manager_settle(w.m, 0), -ETIMEDOUT);
	/* Its name stays taken until the deadlines have passed. */
	{
		struct es_task_opts opts = { .size = sizeof(opts), .spec = "{}" };

		ck_assert_int_eq(es_task_create(w.m, "test", "wedged", &opts, &task), -EEXIST);
	}
	ck_assert_int_eq(es_manager_settle(w.m, 60000), 0);
	env_finish(&env, w.m);
}
END_TEST

/* One command of one task hangs: what is called, and what the task must be able to do meanwhile. */
struct hang {
	struct es_task *task;
	struct es_exec *exec;
	const char *command;
	_Atomic int result; /* 1 while it hangs */
};

static void *hang(void *arg)
{
	static const char process[] = "{\"args\":[\"/victim\",\"exit\",\"0\"],\"cwd\":\"/\","
				      "\"user\":{\"uid\":0,\"gid\":0}}";
	struct es_exec_opts opts = { .size = sizeof(opts), .process = process };
	struct hang *h = arg;
	int r = -ENOSYS;

	if (strcmp(h->command, "start") == 0)
		r = es_task_start(h->task, NULL);
	else if (strcmp(h->command, "pause") == 0)
		r = es_task_pause(h->task, NULL);
	else if (strcmp(h->command, "update") == 0)
		r = es_task_update(h->task, "{}", 0, NULL);
	else if (strcmp(h->command, "delete") == 0)
		r = es_task_delete(h->task, NULL, NULL);
	else if (es_exec_create(h->task, "exec", &opts, &h->exec) == 0)
		r = es_exec_start(h->exec, NULL);
	es_exec_free(h->exec);
	h->result = r;
	return NULL;
}

static void live_beside(struct env *env, struct es_manager *m)
{
	struct es_task *task;

	task = box_run(env, m, "other", &(struct box){ .args = { "/victim", "exit", "4" } });
	box_end(env, task, 4);
}

/* The runtime hangs in the named command of the task "wedged" as long as the file "wedge" exists.
 */
static void write_hanging_runtime(struct env *env, const char *command, char *ret, size_t size)
{
	char text[PATH_MAX + 256];

	snprintf(text, sizeof(text),
		 "#!/bin/sh\n"
		 "case \"$*\" in *' %s '*wedged) test -e %s/wedge && exec sleep 1000;; esac\n"
		 "exec runc \"$@\"\n",
		 command, env->dir);
	snprintf(ret, size, "%s/hanging-%s", env->dir, command);
	write_script(ret, text);
	snprintf(text, sizeof(text), "%s/wedge", env->dir);
	write_script(text, "");
}

static void hang_in(struct env *env, const char *command)
{
	struct hang h = { .command = command, .result = 1 };
	char runtime[PATH_MAX], wedge[PATH_MAX];
	struct es_task_state state;
	struct es_manager *m;
	pthread_t thread;

	write_hanging_runtime(env, command, runtime, sizeof(runtime));
	env->opts.runtime = runtime;
	env->opts.runtime_timeout_ms = 3000;
	m = env_open(env);
	h.task = box_create(env, m, "wedged", &(struct box){ .args = { "/victim", "sleep", "0" } });
	if (strcmp(command, "start") != 0)
		ck_assert_int_eq(es_task_start(h.task, &env->error), 0);
	if (strcmp(command, "delete") == 0) {
		ck_assert_int_eq(es_task_kill(h.task, SIGKILL), 0);
		ck_assert_int_eq(es_task_wait(h.task, 20000, NULL), 0);
	}
	ck_assert_int_eq(pthread_create(&thread, NULL, hang, &h), 0);
	sleep_ms(200);
	live_beside(env, m);
	/* The task itself can be looked at, and killed; its exit is known. */
	ck_assert_int_eq(es_task_state(h.task, &state), 0);
	if (strcmp(command, "delete") != 0) {
		ck_assert_int_eq(es_task_kill(h.task, SIGKILL), 0);
		ck_assert_int_eq(es_task_wait(h.task, 2000, NULL), 0);
	}
	ck_assert_msg(h.result == 1, "%s ended early: %d", command, h.result);
	pthread_join(thread, NULL);
	ck_assert_msg(h.result == -ETIMEDOUT, "%s: %d", command, h.result);
	snprintf(wedge, sizeof(wedge), "%s/wedge", env->dir);
	unlink(wedge);
	ck_assert_msg(es_task_delete(h.task, NULL, &env->error) == 0, "after %s: %s", command,
		      env->error.message);
	es_task_free(h.task);
	es_manager_close(m);
	census_assert_empty(env);
}

START_TEST(every_command)
{
	static const char *const commands[] = { "start", "pause", "update", "exec", "delete" };
	struct env env;

	env_init(&env);
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		hang_in(&env, commands[i]);
	env_clear(&env);
}
END_TEST

RUN_SUITE("wedged", 200, others_go_on, reopen_does_not_wait, every_command)
