/* SPDX-License-Identifier: Apache-2.0 */
/* Tasks of a manager that was killed, and what the next one does with them. */
#include "crowd.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

struct crowd {
	struct env *env;
	int live, created;
};

static void start_crowd(void *arg)
{
	struct crowd *crowd = arg;
	struct es_manager *m = env_open(crowd->env);
	struct box box = { .args = { "/victim", "sleep", "0" } };
	char id[32];

	for (int i = 0; i < crowd->live; i++) {
		snprintf(id, sizeof(id), "live-%d", i);
		box_run(crowd->env, m, id, &box);
	}
	for (int i = 0; i < crowd->created; i++) {
		snprintf(id, sizeof(id), "created-%d", i);
		box_create(crowd->env, m, id, &box);
	}
	box_go(crowd->env, "ready");
	for (;;)
		pause();
}

void leave_crowd(struct env *env, int live, int created)
{
	struct crowd crowd = { .env = env, .live = live, .created = created };
	char ready[PATH_MAX];
	pid_t pid;

	pid = start_child(start_crowd, &crowd);
	snprintf(ready, sizeof(ready), "%s/go-ready", env->rootfs);
	for (int i = 0; i < 12000 && access(ready, F_OK) < 0; i++) {
		ck_assert_msg(waitpid(pid, NULL, WNOHANG) == 0, "the first manager failed");
		sleep_ms(10);
	}
	kill_child(pid);
	box_ungo(env, "ready");
}

struct es_task *get(struct es_manager *m, const char *id)
{
	struct es_task *task = NULL;

	ck_assert_msg(es_manager_get(m, "test", id, &task) == 0, "%s is not listed", id);
	return task;
}

struct es_task_state state_of(struct es_task *task)
{
	struct es_task_state state;

	ck_assert_int_eq(es_task_state(task, &state), 0);
	return state;
}

void kill_and_delete(struct env *env, struct es_manager *m, const char *id, int code)
{
	struct es_task *task = get(m, id);
	int r;

	r = es_task_kill(task, SIGKILL);
	ck_assert_msg(r == 0 || r == -ESRCH, "kill %s: %d", id, r);
	box_end(env, task, code);
}

static void add_exec(void *arg)
{
	static const char process[] = "{\"args\":[\"/victim\",\"sleep\",\"0\"],\"cwd\":\"/\","
				      "\"user\":{\"uid\":0,\"gid\":0}}";
	struct env *env = arg;
	struct es_exec_opts opts = { .size = sizeof(opts), .process = process };
	struct es_manager *m = env_open(env);
	struct es_exec *exec;

	ck_assert_int_eq(es_exec_create(get(m, "live-0"), "exec", &opts, &exec), 0);
	ck_assert_int_eq(es_exec_start(exec, NULL), 0);
	kill(getpid(), SIGKILL);
}

void leave_exec(struct env *env)
{
	in_child(add_exec, env);
}
