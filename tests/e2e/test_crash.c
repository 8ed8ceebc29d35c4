/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kill -9 at every step of create, start, delete and reload that touches disk, kernel or runtime:
 * after the next open nothing is left behind, and nothing that ran is lost.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "step.h"
#include "support.h"

#define STEPS_MAX 256

/* Shared with the child that dies. */
static struct shared {
	int die_at; /* number of the step; -1: never */
	int steps;
	char names[STEPS_MAX][48];
	int started; /* es_task_start() has returned 0 */
	int deleting;
	int deleted;
} * shared;

static void count_step(const char *name)
{
	int n = shared->steps++;

	if (n < STEPS_MAX)
		snprintf(shared->names[n], sizeof(shared->names[n]), "%s", name);
	if (n == shared->die_at)
		kill(getpid(), SIGKILL);
}

static void reset_shared(int die_at)
{
	memset(shared, 0, sizeof(*shared));
	shared->die_at = die_at;
}

/* From the start on. */
static void end_life(struct env *env, struct es_manager *m, struct es_task *task)
{
	shared->started = 1;
	box_go(env, "life");
	ck_assert_int_eq(es_task_wait(task, 20000, NULL), 0);
	shared->deleting = 1;
	ck_assert_int_eq(es_task_delete(task, NULL, &env->error), 0);
	shared->deleted = 1;
	es_task_free(task);
	es_manager_close(m);
}

/* The whole life of one container that exits with 42 when it is told to. */
static void live(void *arg)
{
	struct env *env = arg;
	struct box box = { .args = { "/victim", "-w", "/go-life", "exit", "42" } };
	struct es_manager *m;
	struct es_task *task;

	es_step_hook = count_step;
	m = env_open(env);
	task = box_run(env, m, "life", &box);
	end_life(env, m, task);
}

/* A reload that finds a live task with a half-started exec, one that has ended, and a half-made
 * one. */
static void reload(void *arg)
{
	struct es_manager *m;

	es_step_hook = count_step;
	m = env_open(arg);
	ck_assert_int_eq(es_manager_settle(m, 20000), 0);
	es_manager_close(m);
}

static void die_in_create(const char *name)
{
	if (strcmp(name, "create.runtime") == 0)
		kill(getpid(), SIGKILL);
}

static void prepare_reload(void *arg)
{
	struct env *env = arg;
	struct es_manager *m = env_open(env);
	struct box box = { .args = { "/victim", "sleep", "0" } };

	box_run(env, m, "alive", &box);
	box_run(env, m, "ended", &(struct box){ .args = { "/victim", "exit", "7" } });
	es_step_hook = die_in_create;
	box_create(env, m, "half", &box);
}

static void die_in_exec(const char *name)
{
	if (strcmp(name, "exec.runtime") == 0)
		kill(getpid(), SIGKILL);
}

/* An exec of which nobody has noted down yet that it runs. */
static void prepare_exec(void *arg)
{
	static const char process[] = "{\"args\":[\"/victim\",\"sleep\",\"0\"],\"cwd\":\"/\","
				      "\"user\":{\"uid\":0,\"gid\":0}}";
	struct es_exec_opts opts = { .size = sizeof(opts), .process = process };
	struct es_manager *m = env_open(arg);
	struct es_task *task;
	struct es_exec *exec;

	ck_assert_int_eq(es_manager_get(m, "test", "alive", &task), 0);
	ck_assert_int_eq(es_exec_create(task, "half", &opts, &exec), 0);
	es_step_hook = die_in_exec;
	es_exec_start(exec, NULL);
}

static void check_half_exec(struct es_manager *m)
{
	struct es_exec_state state;
	struct es_task *task;
	struct es_exec *exec;

	ck_assert_int_eq(es_manager_get(m, "test", "alive", &task), 0);
	ck_assert_int_eq(es_task_get_exec(task, "half", &exec), 0);
	ck_assert_int_eq(es_exec_state(exec, &state), 0);
	ck_assert_uint_eq(state.status, ES_TASK_RUNNING);
	ck_assert_int_eq(kill(state.pid, 0), 0);
	es_exec_free(exec);
	es_task_free(task);
}

static void end_task(struct env *env, struct es_manager *m, const char *id, int code)
{
	struct es_task *task;
	struct es_exit exit;

	ck_assert_msg(es_manager_get(m, "test", id, &task) == 0, "%s is lost", id);
	if (code == 137)
		es_task_kill(task, SIGKILL);
	ck_assert_int_eq(es_task_wait(task, 20000, &exit), 0);
	ck_assert_msg(exit.code == code, "%s: code %d from %s", id, exit.code,
		      es_exit_source_name(exit.source));
	ck_assert_msg(es_task_delete(task, NULL, &env->error) == 0, "delete %s: %s", id,
		      env->error.message);
	es_task_free(task);
}

/* After a life that ended at a step: what must be there is, what must not be is not. */
static void check_life(struct env *env)
{
	struct es_manager *m = env_open(env);
	struct es_task **list;
	int n;

	ck_assert_int_eq(es_manager_settle(m, 20000), 0);
	n = es_manager_list(m, "test", &list);
	ck_assert_int_ge(n, 0);
	es_task_list_free(list);
	if (shared->started && !shared->deleting)
		ck_assert_msg(n == 1, "a started task is lost");
	if (shared->deleted)
		ck_assert_int_eq(n, 0);
	if (n == 1) {
		struct es_task_state state;
		struct es_task *task;

		ck_assert_int_eq(es_manager_get(m, "test", "life", &task), 0);
		ck_assert_int_eq(es_task_state(task, &state), 0);
		/* An interrupted start goes on in the runtime. */
		if (state.status == ES_TASK_CREATED && es_task_start(task, &env->error) < 0)
			wait_until(es_task_state(task, &state) == 0 &&
				   state.status != ES_TASK_CREATED);
		es_task_free(task);
		box_go(env, "life");
		end_task(env, m, "life", 42);
	}
	es_manager_close(m);
	census_assert_empty(env);
}

static void check_reload(struct env *env)
{
	struct es_manager *m = env_open(env);

	ck_assert_int_eq(es_manager_settle(m, 20000), 0);
	check_half_exec(m);
	end_task(env, m, "alive", 137);
	end_task(env, m, "ended", 7);
	es_manager_close(m);
	census_assert_empty(env);
}

static void print_steps(const char *what)
{
	printf("%s:", what);
	for (int i = 0; i < shared->steps && i < STEPS_MAX; i++)
		printf(" %s", shared->names[i]);
	printf(" (%d steps)\n", shared->steps);
}

/* Live once, to learn the steps, and then once for each of them, killed right behind it. */
static void sweep(const char *what, struct env *env, void (*live_once)(void *env),
		  void (*check)(struct env *env))
{
	int steps;

	reset_shared(-1);
	ck_assert_int_eq(in_child(live_once, env), 0);
	steps = shared->steps;
	print_steps(what);
	for (int i = 0; i < steps; i++) {
		int status;

		box_ungo(env, "life");
		reset_shared(i);
		status = in_child(live_once, env);
		ck_assert_msg(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL,
			      "step %d was not reached", i);
		check(env);
	}
}

START_TEST(every_step_of_a_life)
{
	struct env env;

	env_init(&env);
	sweep("life", &env, live, check_life);
	env_clear(&env);
}
END_TEST

/* runc whose images are empty: criu does not work on every kernel. A restore is a new start. */
static void write_imageless_runtime(struct env *env, char *ret, size_t size)
{
	snprintf(ret, size, "%s/imageless", env->dir);
	write_script(ret, "#!/bin/sh\n"
			  "case \" $* \" in\n"
			  "*' checkpoint '*) exit 0 ;;\n"
			  "*' restore '*) ;;\n"
			  "*) exec runc \"$@\" ;;\n"
			  "esac\n"
			  "n=$#\n"
			  "while [ $n -gt 0 ]; do\n"
			  "  case $1 in\n"
			  "  restore) set -- \"$@\" run ;;\n"
			  "  --image-path | --work-path) shift && n=$((n - 1)) ;;\n"
			  "  *) set -- \"$@\" \"$1\" ;;\n"
			  "  esac\n"
			  "  shift && n=$((n - 1))\n"
			  "done\n"
			  "exec runc \"$@\"\n");
	env->opts.runtime = ret;
}

static void live_restored(void *arg)
{
	struct env *env = arg;
	struct box box = { .args = { "/victim", "-w", "/go-life", "exit", "42" } };
	struct es_task_opts opts = { .size = sizeof(opts), .error = &env->error };
	struct es_manager *m;
	struct es_task *task;

	es_step_hook = count_step;
	m = env_open(env);
	opts.spec = box_spec(env, "life", &box);
	opts.restore_path = env->dir;
	ck_assert_msg(es_task_create(m, "test", "life", &opts, &task) == 0, "%s",
		      env->error.message);
	ck_assert_msg(es_task_start(task, &env->error) == 0, "%s", env->error.message);
	end_life(env, m, task);
}

START_TEST(every_step_of_a_restored_life)
{
	char runtime[PATH_MAX];
	struct env env;

	env_init(&env);
	write_imageless_runtime(&env, runtime, sizeof(runtime));
	sweep("restored life", &env, live_restored, check_life);
	env_clear(&env);
}
END_TEST

/* What is done to a container that runs, and goes on running. */
static void change(void *arg)
{
	static const char resources[] = "{\"memory\":{\"limit\":67108864}}";
	struct env *env = arg;
	struct es_checkpoint_opts opts = { .size = sizeof(opts), .error = &env->error };
	struct es_manager *m = env_open(env);
	struct es_task *task;

	opts.image_path = env->dir;
	es_step_hook = count_step;
	ck_assert_int_eq(es_manager_get(m, "test", "alive", &task), 0);
	ck_assert_int_eq(es_task_pause(task, &env->error), 0);
	ck_assert_int_eq(es_task_resume(task, &env->error), 0);
	ck_assert_msg(es_task_update(task, resources, 0, &env->error) == 0, "%s",
		      env->error.message);
	ck_assert_msg(es_task_checkpoint(task, &opts) == 0, "%s", env->error.message);
	es_task_free(task);
	es_manager_close(m);
}

static void check_change(struct env *env)
{
	struct es_manager *m = env_open(env);
	struct es_task_state state;
	struct es_task *task;

	ck_assert_int_eq(es_manager_get(m, "test", "alive", &task), 0);
	ck_assert_int_eq(es_task_state(task, &state), 0);
	if (state.status == ES_TASK_PAUSED)
		ck_assert_int_eq(es_task_resume(task, &env->error), 0);
	ck_assert_int_eq(es_task_state(task, &state), 0);
	ck_assert_uint_eq(state.status, ES_TASK_RUNNING);
	ck_assert_uint_eq(state.flags, 0);
	ck_assert_int_eq(kill(state.pid, 0), 0);
	es_task_free(task);
	es_manager_close(m);
}

static void start_alive(void *arg)
{
	struct env *env = arg;
	struct es_manager *m = env_open(env);

	es_task_free(
		box_run(env, m, "alive", &(struct box){ .args = { "/victim", "sleep", "0" } }));
	es_manager_close(m);
}

START_TEST(every_step_of_a_change)
{
	char runtime[PATH_MAX];
	struct env env;
	struct es_manager *m;

	env_init(&env);
	write_imageless_runtime(&env, runtime, sizeof(runtime));
	ck_assert_int_eq(in_child(start_alive, &env), 0);
	sweep("change", &env, change, check_change);
	m = env_open(&env);
	end_task(&env, m, "alive", 137);
	env_finish(&env, m);
}
END_TEST

START_TEST(every_step_of_a_reload)
{
	struct env env;
	int steps = 1;

	env_init(&env);
	for (int i = -1; i < steps; i++) {
		int status;

		in_child(prepare_reload, &env);
		in_child(prepare_exec, &env);
		reset_shared(i);
		status = in_child(reload, &env);
		if (i < 0) {
			ck_assert_int_eq(status, 0);
			steps = shared->steps;
			print_steps("reload");
		} else {
			/* Whether the exit is saved in time moves the number by one or two. */
			ck_assert(WIFSIGNALED(status) || i > steps - 3);
		}
		check_reload(&env);
	}
	env_clear(&env);
}
END_TEST

/* Kill lives at random moments, and with them what the manager has started. */
static void kill_at_random(int rounds, bool with_runtime)
{
	struct env env;

	env_init(&env);
	srand(1);
	for (int i = 0; i < rounds; i++) {
		pid_t pid;

		box_ungo(&env, "life");
		reset_shared(-1);
		pid = start_child(live, &env);
		usleep((useconds_t)(rand() % 130000));
		kill_child(pid);
		if (with_runtime)
			env_kill_runtimes(&env);
		check_life(&env);
	}
	printf("%d lives killed at random moments%s: nothing left, nothing lost\n", rounds,
	       with_runtime ? ", with the runtime" : "");
	env_clear(&env);
}

/* Not only between the steps. */
START_TEST(any_moment)
{
	kill_at_random(test_count(30, 100), false);
}
END_TEST

/* KillMode=control-group: the runtime dies in the middle of what it does, too. */
START_TEST(any_moment_with_runtime)
{
	kill_at_random(test_count(20, 60), true);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = { every_step_of_a_life,
				       every_step_of_a_restored_life,
				       every_step_of_a_change,
				       every_step_of_a_reload,
				       any_moment,
				       any_moment_with_runtime };

	require_runtime();
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		      0);
	return run_suite("crash", tests, sizeof(tests) / sizeof(tests[0]), 900);
}
