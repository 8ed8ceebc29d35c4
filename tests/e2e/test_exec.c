/* SPDX-License-Identifier: Apache-2.0 */
/* Additional processes: exits, order, errors, restarts, crashes. */
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "step.h"
#include "support.h"

static const struct box sleeper = { .args = { "/victim", "sleep", "0" } };

static const char *process_of(const char *what, const char *how)
{
	static __thread char text[512];

	snprintf(text, sizeof(text),
		 "{\"args\":[\"/victim\",\"%s\",\"%s\"],\"cwd\":\"/\",\"env\":[],"
		 "\"user\":{\"uid\":0,\"gid\":0}}",
		 what, how);
	return text;
}

static int add_exec(struct env *env, struct es_task *task, const char *id, const char *process,
		    struct es_exec **ret)
{
	struct es_exec_opts opts = { .size = sizeof(opts),
				     .process = process,
				     .error = &env->error };

	return es_exec_create(task, id, &opts, ret);
}

static struct es_exec *run_exec(struct env *env, struct es_task *task, const char *id,
				const char *process)
{
	struct es_exec *exec = NULL;
	int r;

	r = add_exec(env, task, id, process, &exec);
	ck_assert_msg(r == 0, "add %s: %d: %s", id, r, env->error.message);
	r = es_exec_start(exec, &env->error);
	ck_assert_msg(r == 0, "start %s: %d: %s", id, r, env->error.message);
	return exec;
}

static void end_all(struct env *env, struct es_manager *m, struct es_task *task)
{
	es_task_kill(task, SIGKILL);
	ck_assert_int_eq(es_task_wait(task, 20000, NULL), 0);
	box_delete(env, task);
	env_finish(env, m);
}

START_TEST(ends_at_once)
{
	int count = test_count(60, 10000), wrong = 0, missed = 0, fds;
	struct es_manager *m;
	struct es_task *task;
	struct env env;

	env_init(&env);
	m = env_open(&env);
	task = box_run(&env, m, "box", &sleeper);
	srand(7);
	fds = count_entries("/proc/self/fd");
	for (int i = 0; i < count; i++) {
		int code = rand() % 256;
		struct es_event event;
		struct es_exec *exec;
		struct es_exit exit;
		char how[8];

		snprintf(how, sizeof(how), "%d", code);
		exec = run_exec(&env, task, "now", process_of("exit", how));
		if (es_exec_wait(exec, 10000, &exit) < 0 || exit.source != ES_EXIT_BPF)
			missed++;
		else if (exit.code != code)
			wrong++;
		ck_assert_int_eq(es_manager_next_event(m, &event), 1);
		ck_assert_uint_eq(event.type, ES_EVENT_EXEC_EXIT);
		ck_assert_ptr_eq(event.exec, exec);
		ck_assert_int_eq(event.exit.code, exit.code);
		es_event_clear(&event);
		ck_assert_msg(es_exec_delete(exec, &exit, &env.error) == 0, "%s",
			      env.error.message);
		ck_assert_int_eq(exit.code, code);
		es_exec_free(exec);
	}
	printf("%d execs whose process ends at once: %d missed, %d wrong\n", count, missed, wrong);
	ck_assert_int_eq(missed + wrong, 0);
	ck_assert_int_eq(count_entries("/proc/self/fd"), fds);
	ck_assert_int_eq(census_take(&env).slots, 1);
	end_all(&env, m, task);
}
END_TEST

/* Starting threads of the next test. */
struct starter {
	struct env env;
	struct es_task *task;
	int first, count, started;
	pthread_t thread;
};

static void *start_many(void *arg)
{
	struct starter *s = arg;

	for (int i = s->first; i < s->first + s->count; i++) {
		struct es_exec *exec;
		char id[32];

		snprintf(id, sizeof(id), "exec-%d", i);
		if (add_exec(&s->env, s->task, id, process_of("sleep", "0"), &exec) < 0)
			break;
		if (es_exec_start(exec, &s->env.error) == 0)
			s->started++;
		es_exec_free(exec);
	}
	return NULL;
}

/* Init is killed in the middle of many starts: each exec that was started is told once, and init
   last. */
START_TEST(init_exits_last)
{
	enum { THREADS = 4 };
	int each = test_count(10, 125), told = 0, started = 0, fds = count_entries("/proc/self/fd");
	struct starter starters[THREADS];
	struct es_event event;
	struct es_manager *m;
	struct es_task *task;
	struct env env;

	env_init(&env);
	m = env_open(&env);
	task = box_run(&env, m, "box", &sleeper);
	for (int i = 0; i < THREADS; i++) {
		starters[i] = (struct starter){
			.env = env, .task = task, .first = i * each, .count = each
		};
		pthread_create(&starters[i].thread, NULL, start_many, &starters[i]);
	}
	sleep_ms(each * 25);
	ck_assert_int_eq(es_task_kill(task, SIGKILL), 0);
	for (;;) {
		struct pollfd fd = { .fd = es_manager_fd(m), .events = POLLIN };
		int r;

		ck_assert_int_gt(poll(&fd, 1, 20000), 0);
		r = es_manager_next_event(m, &event);
		ck_assert_int_ge(r, 0);
		if (r == 0)
			continue;
		ck_assert_int_eq(event.exit.code, 137);
		if (event.type == ES_EVENT_EXIT)
			break;
		ck_assert_uint_eq(event.type, ES_EVENT_EXEC_EXIT);
		told++;
		es_event_clear(&event);
	}
	es_event_clear(&event);
	for (int i = 0; i < THREADS; i++) {
		pthread_join(starters[i].thread, NULL);
		started += starters[i].started;
	}
	printf("init killed among %d starts: %d came through, %d exits told before init's\n",
	       THREADS * each, started, told);
	ck_assert_int_eq(told, started);
	ck_assert_int_eq(es_manager_next_event(m, &event), 0);
	end_all(&env, m, task);
	ck_assert_int_eq(count_entries("/proc/self/fd"), fds);
}
END_TEST

START_TEST(refused)
{
	static const char *const bad_ids[] = { "..", "a/b", "", "a b", "\xc3\xa4", "-x" };
	static const char *const bad_processes[] = { "", "{", "[]", "7", "{\"terminal\":3}" };
	struct es_exec_state state;
	struct es_exec *exec, *again;
	struct es_manager *m;
	struct es_task *task;
	struct env env;

	env_init(&env);
	m = env_open(&env);
	task = box_run(&env, m, "box", &sleeper);
	for (size_t i = 0; i < sizeof(bad_ids) / sizeof(bad_ids[0]); i++)
		ck_assert_int_eq(add_exec(&env, task, bad_ids[i], process_of("exit", "0"), &exec),
				 -EINVAL);
	for (size_t i = 0; i < sizeof(bad_processes) / sizeof(bad_processes[0]); i++)
		ck_assert_int_eq(add_exec(&env, task, "bad", bad_processes[i], &exec), -EINVAL);

	/* Names of our own files are names like any other. */
	exec = run_exec(&env, task, "init", process_of("exit", "3"));
	ck_assert_int_eq(es_exec_wait(exec, 10000, NULL), 0);
	ck_assert_int_eq(es_exec_start(exec, &env.error), -EBUSY);
	ck_assert_int_eq(es_exec_kill(exec, SIGTERM), -ESRCH);
	ck_assert_int_eq(es_exec_delete(exec, NULL, &env.error), 0);
	ck_assert_int_eq(es_exec_delete(exec, NULL, &env.error), -ENOENT);
	es_exec_free(exec);

	ck_assert_int_eq(add_exec(&env, task, "twice", process_of("sleep", "0"), &exec), 0);
	ck_assert_int_eq(add_exec(&env, task, "twice", process_of("sleep", "0"), &again), -EEXIST);
	ck_assert_int_eq(es_exec_kill(exec, SIGTERM), -EBUSY);
	ck_assert_int_eq(es_exec_wait(exec, 0, NULL), -EBUSY);
	ck_assert_int_eq(es_exec_start(exec, &env.error), 0);
	ck_assert_int_eq(es_exec_delete(exec, NULL, &env.error), -EBUSY);
	ck_assert_int_eq(es_exec_wait(exec, 0, NULL), -ETIMEDOUT);
	es_exec_free(exec);

	ck_assert_int_eq(add_exec(&env, task, "missing",
				  "{\"args\":[\"/nowhere\"],\"cwd\":\"/\",\"user\":{\"uid\":0,"
				  "\"gid\":0}}",
				  &exec),
			 0);
	ck_assert_int_eq(es_exec_start(exec, &env.error), -EIO);
	ck_assert_msg(strstr(env.error.message, "/nowhere") != NULL, "%s", env.error.message);
	ck_assert_int_eq(es_exec_state(exec, &state), 0);
	ck_assert_uint_eq(state.status, ES_TASK_CREATED);
	ck_assert_int_eq(es_exec_delete(exec, NULL, &env.error), 0);
	es_exec_free(exec);

	ck_assert_int_eq(add_exec(&env, task, "late", process_of("exit", "0"), &exec), 0);
	ck_assert_int_eq(es_task_kill(task, SIGKILL), 0);
	ck_assert_int_eq(es_task_wait(task, 10000, NULL), 0);
	ck_assert_int_eq(es_exec_start(exec, &env.error), -EBUSY);
	ck_assert_int_eq(add_exec(&env, task, "later", process_of("exit", "0"), &again), -EBUSY);
	es_exec_free(exec);
	end_all(&env, m, task);
}
END_TEST

static char *contents(const struct env *env, const char *name)
{
	char path[PATH_MAX], text[32768] = "";
	FILE *f;

	snprintf(path, sizeof(path), "%s/test/box/%s", env->state, name);
	f = fopen(path, "re");
	ck_assert_msg(f != NULL, "%s", path);
	ck_assert_uint_gt(fread(text, 1, sizeof(text) - 1, f), 0);
	fclose(f);
	return strdup(text);
}

/* Names of our files, of the longest kind, and too long: no file of the bundle is touched. */
START_TEST(names)
{
	static const char *const files[] = { "init.pid", "init.json", "config.json", "task.json" };
	static const char *const ids[] = { "init", "config", "stdio", "task", "execs", "work" };
	char longest[256], *before[4];
	struct es_manager *m;
	struct es_task *task;
	struct es_exec *exec;
	struct env env;

	env_init(&env);
	m = env_open(&env);
	task = box_run(&env, m, "box", &sleeper);
	for (int i = 0; i < 4; i++)
		before[i] = contents(&env, files[i]);
	for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++)
		es_exec_free(run_exec(&env, task, ids[i], process_of("sleep", "0")));
	memset(longest, 'x', sizeof(longest));
	longest[255] = '\0';
	ck_assert_int_eq(add_exec(&env, task, longest, process_of("exit", "0"), &exec),
			 -ENAMETOOLONG);
	longest[ES_ID_MAX] = '\0';
	es_exec_free(run_exec(&env, task, longest, process_of("sleep", "0")));
	for (int i = 0; i < 4; i++) {
		char *after = contents(&env, files[i]);

		ck_assert_str_eq(after, before[i]);
		free(after);
		free(before[i]);
	}
	end_all(&env, m, task);
}
END_TEST

static void leave_execs(void *arg)
{
	struct env *env = arg;
	struct es_manager *m = env_open(env);
	struct es_task *task = box_run(env, m, "box", &sleeper);
	struct es_exec *added;

	run_exec(env, task, "one", process_of("sleep", "0"));
	run_exec(env, task, "two", process_of("sleep", "0"));
	run_exec(env, task, "ended", process_of("exit", "5"));
	run_exec(env, task, "ends-meanwhile", process_of("late-exit", "9"));
	add_exec(env, task, "added", process_of("exit", "6"), &added);
	kill(getpid(), SIGKILL);
}

static int code_of(struct es_task *task, const char *id)
{
	struct es_exec *exec;
	struct es_exit exit;

	ck_assert_msg(es_task_get_exec(task, id, &exec) == 0, "%s is lost", id);
	ck_assert_int_eq(es_exec_wait(exec, 10000, &exit), 0);
	ck_assert_uint_eq(exit.source, ES_EXIT_BPF);
	es_exec_free(exec);
	return exit.code;
}

START_TEST(come_back)
{
	struct es_exec **list, *exec;
	struct es_exec_state state;
	struct es_manager *m;
	struct es_task *task;
	struct env env;

	env_init(&env);
	in_child(leave_execs, &env);
	sleep_ms(1200);
	m = env_open(&env);
	ck_assert_int_eq(es_manager_get(m, "test", "box", &task), 0);
	ck_assert_int_eq(es_task_list_execs(task, &list), 5);
	ck_assert_str_eq(es_exec_id(list[0]), "one");
	ck_assert_str_eq(es_exec_id(list[4]), "added");
	es_exec_list_free(list);
	ck_assert_int_eq(code_of(task, "ended"), 5);
	ck_assert_int_eq(code_of(task, "ends-meanwhile"), 9);
	ck_assert_int_eq(es_task_get_exec(task, "one", &exec), 0);
	ck_assert_int_eq(es_exec_state(exec, &state), 0);
	ck_assert_uint_eq(state.status, ES_TASK_RUNNING);
	ck_assert_int_eq(es_exec_kill(exec, SIGTERM), 0);
	es_exec_free(exec);
	ck_assert_int_eq(code_of(task, "one"), 143);
	ck_assert_int_eq(es_task_get_exec(task, "added", &exec), 0);
	ck_assert_int_eq(es_exec_start(exec, &env.error), 0);
	es_exec_free(exec);
	ck_assert_int_eq(code_of(task, "added"), 6);
	end_all(&env, m, task);
}
END_TEST

/* Shared with the child that dies. */
static struct shared {
	int die_at, steps;
	int added, started, deleting;
	char last[48];
} * shared;

static void count_step(const char *name)
{
	int n = shared->steps++;

	snprintf(shared->last, sizeof(shared->last), "%s", name);
	if (shared->die_at < 0)
		printf(" %s", name);
	if (n == shared->die_at)
		kill(getpid(), SIGKILL);
}

static void live(void *arg)
{
	struct env *env = arg;
	struct es_manager *m = env_open(env);
	struct es_task *task;
	struct es_exec *exec;

	ck_assert_int_eq(es_manager_get(m, "test", "box", &task), 0);
	es_step_hook = count_step;
	ck_assert_int_eq(add_exec(env, task, "life", process_of("exit", "11"), &exec), 0);
	shared->added = 1;
	ck_assert_int_eq(es_exec_start(exec, &env->error), 0);
	shared->started = 1;
	ck_assert_int_eq(es_exec_wait(exec, 10000, NULL), 0);
	shared->deleting = 1;
	ck_assert_int_eq(es_exec_delete(exec, NULL, &env->error), 0);
	es_exec_free(exec);
	es_task_free(task);
	es_manager_close(m);
}

static void check_life(struct env *env)
{
	struct es_manager *m = env_open(env);
	struct es_exec_state state;
	struct es_exec **list;
	struct es_task *task;
	struct es_exit exit;
	int n;

	ck_assert_int_eq(es_manager_get(m, "test", "box", &task), 0);
	n = es_task_list_execs(task, &list);
	if (shared->added && !shared->deleting)
		ck_assert_msg(n == 1, "lost after %s", shared->last);
	if (n == 1) {
		ck_assert_int_eq(es_exec_state(list[0], &state), 0);
		ck_assert_msg(!shared->started || state.status != ES_TASK_CREATED,
			      "lost its process after %s", shared->last);
		if (state.status == ES_TASK_CREATED)
			ck_assert_msg(es_exec_start(list[0], &env->error) == 0, "after %s: %s",
				      shared->last, env->error.message);
		ck_assert_int_eq(es_exec_wait(list[0], 10000, &exit), 0);
		ck_assert_msg(exit.code == 11, "after %s: code %d", shared->last, exit.code);
		ck_assert_int_eq(es_exec_delete(list[0], NULL, &env->error), 0);
	}
	es_exec_list_free(list);
	ck_assert_int_eq(census_take(env).slots, 1);
	es_task_free(task);
	es_manager_close(m);
}

static void start_box(void *arg)
{
	struct env *env = arg;
	struct es_manager *m = env_open(env);

	es_task_free(box_run(env, m, "box", &sleeper));
	es_manager_close(m);
}

START_TEST(every_step)
{
	struct es_manager *m;
	struct es_task *task;
	struct env env;
	int steps;

	env_init(&env);
	ck_assert_int_eq(in_child(start_box, &env), 0);
	memset(shared, 0, sizeof(*shared));
	shared->die_at = -1;
	printf("exec:");
	ck_assert_int_eq(in_child(live, &env), 0);
	steps = shared->steps;
	printf(" (%d steps)\n", steps);
	for (int i = 0; i < steps; i++) {
		memset(shared, 0, sizeof(*shared));
		shared->die_at = i;
		ck_assert_int_ne(in_child(live, &env), 0);
		check_life(&env);
	}
	m = env_open(&env);
	ck_assert_int_eq(es_manager_get(m, "test", "box", &task), 0);
	end_all(&env, m, task);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = { ends_at_once, init_exits_last, refused,
				       names,	     come_back,	      every_step };

	require_runtime();
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		      0);
	return run_suite("exec", tests, sizeof(tests) / sizeof(tests[0]), 1500);
}
