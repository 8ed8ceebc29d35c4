/* SPDX-License-Identifier: Apache-2.0 */
/* What a manager finds after a kill -9, a reboot, a removed root, or damage to its files. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"
#include "fs.h"
#include "support.h"

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

/* Start a crowd in another process and kill that with SIGKILL. */
static void leave_crowd(struct env *env, int live, int created)
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
}

static struct es_task *get(struct es_manager *m, const char *id)
{
	struct es_task *task = NULL;

	ck_assert_msg(es_manager_get(m, "test", id, &task) == 0, "%s is not listed", id);
	return task;
}

static struct es_task_state state_of(struct es_task *task)
{
	struct es_task_state state;

	ck_assert_int_eq(es_task_state(task, &state), 0);
	return state;
}

static void kill_and_delete(struct env *env, struct es_manager *m, const char *id, int code)
{
	struct es_task *task = get(m, id);
	struct es_exit exit;
	int r;

	r = es_task_kill(task, SIGKILL);
	ck_assert_msg(r == 0 || r == -ESRCH, "kill %s: %d", id, r);
	ck_assert_int_eq(es_task_wait(task, 20000, &exit), 0);
	ck_assert_int_eq(exit.code, code);
	r = es_task_delete(task, NULL, &env->error);
	ck_assert_msg(r == 0, "delete %s: %d: %s", id, r, env->error.message);
	es_task_free(task);
}

START_TEST(live_crowd)
{
	int live = test_count(40, 200), n;
	uint64_t begin, end;
	struct env env;
	struct es_manager *m;
	struct es_task **list;
	char id[32];

	env_init(&env);
	leave_crowd(&env, live, 3);
	begin = es_clock_ns(CLOCK_MONOTONIC);
	m = env_open(&env);
	end = es_clock_ns(CLOCK_MONOTONIC);
	printf("reopened with %d live tasks in %.1f ms\n", live, (double)(end - begin) / 1e6);
	n = es_manager_list(m, "test", &list);
	ck_assert_int_eq(n, live + 3);
	for (int i = 0; i < n; i++) {
		bool created = strncmp(es_task_id(list[i]), "created-", 8) == 0;
		struct es_task_state state = state_of(list[i]);

		ck_assert_uint_eq(state.status, created ? ES_TASK_CREATED : ES_TASK_RUNNING);
		ck_assert_uint_eq(state.flags, 0);
		ck_assert_int_eq(kill(state.pid, 0), 0);
	}
	es_task_list_free(list);
	/* A created one can still be started. */
	list = (struct es_task *[]){ get(m, "created-0"), NULL };
	ck_assert_int_eq(es_task_start(list[0], &env.error), 0);
	ck_assert_uint_eq(state_of(list[0]).status, ES_TASK_RUNNING);
	es_task_free(list[0]);
	for (int i = 0; i < live; i++) {
		snprintf(id, sizeof(id), "live-%d", i);
		kill_and_delete(&env, m, id, 137);
	}
	for (int i = 0; i < 3; i++) {
		snprintf(id, sizeof(id), "created-%d", i);
		kill_and_delete(&env, m, id, 137);
	}
	es_manager_close(m);
	census_assert_empty(&env);
	env_clear(&env);
}
END_TEST

/* Counted by strace: forks and execs of a process that only opens, lists and closes. */
START_TEST(starts_no_process)
{
	char command[3 * PATH_MAX], trace[PATH_MAX], line[4096];
	struct env env;
	struct es_manager *m;
	int processes = 0, n = 0;
	FILE *f;

	env_init(&env);
	if (system("command -v strace >/dev/null") != 0) {
		printf("SKIPPED starts_no_process: strace is not installed\n");
		env_clear(&env);
		return;
	}
	leave_crowd(&env, 5, 2);
	snprintf(trace, sizeof(trace), "%s/trace", env.dir);
	snprintf(command, sizeof(command),
		 "ASAN_OPTIONS=detect_leaks=0 strace -f -o %s "
		 "-e trace=clone,clone3,fork,vfork,execve env ES_TEST_LIST=%s,%s /proc/%d/exe",
		 trace, env.root, env.state, getpid());
	ck_assert_int_eq(WEXITSTATUS(system(command)), 0);
	f = fopen(trace, "re");
	while (fgets(line, sizeof(line), f)) {
		if (strstr(line, "+++"))
			continue;
		/* env itself executes us: two execs are strace's doing. */
		if (strstr(line, "execve(") && ++n <= 2)
			continue;
		if (!strstr(line, "= -1 ENOENT"))
			processes++;
	}
	fclose(f);
	printf("processes started by a reload of 7 tasks: %d\n", processes);
	ck_assert_int_eq(processes, 0);
	m = env_open(&env);
	for (int i = 0; i < 7; i++) {
		char id[32];

		snprintf(id, sizeof(id), i < 5 ? "live-%d" : "created-%d", i < 5 ? i : i - 5);
		kill_and_delete(&env, m, id, 137);
	}
	es_manager_close(m);
	census_assert_empty(&env);
	env_clear(&env);
}
END_TEST

static void edit_file(const char *path, const char *from, const char *to)
{
	char *text, *at;
	size_t size;

	ck_assert_int_eq(es_file_read(AT_FDCWD, path, 1 << 20, &text, &size), 0);
	at = strstr(text, from);
	ck_assert_ptr_nonnull(at);
	ck_assert_uint_eq(strlen(from), strlen(to));
	memcpy(at, to, strlen(to));
	write_script(path, text);
	free(text);
}

START_TEST(other_boot)
{
	char path[PATH_MAX], boot_id[40];
	struct env env;
	struct es_manager *m;
	struct es_task *task;
	struct es_exit exit;
	FILE *f;

	env_init(&env);
	leave_crowd(&env, 1, 0);
	f = fopen("/proc/sys/kernel/random/boot_id", "re");
	ck_assert_int_eq(fscanf(f, "%39s", boot_id), 1);
	fclose(f);
	/* As after a reboot: the process, the pins and the boot ID are gone. */
	m = env_open(&env);
	task = get(m, "live-0");
	ck_assert_int_eq(es_task_kill(task, SIGKILL), 0);
	es_task_free(task);
	es_manager_close(m);
	ck_assert(wait_until(census_take(&env).processes == 0));
	snprintf(path, sizeof(path), "%s/bpf/v1", env.root);
	ck_assert_int_eq(es_tree_remove(AT_FDCWD, path), 0);
	snprintf(path, sizeof(path), "%s/test/live-0/task.json", env.state);
	edit_file(path, boot_id, "11111111-2222-3333-4444-555555555555");
	snprintf(path, sizeof(path), "%s/test/live-0/exit.json", env.state);
	unlink(path);

	m = env_open(&env);
	task = get(m, "live-0");
	ck_assert_uint_eq(state_of(task).status, ES_TASK_STOPPED);
	ck_assert_int_eq(es_task_wait(task, 0, &exit), 0);
	ck_assert_uint_eq(exit.source, ES_EXIT_LOST);
	ck_assert_int_eq(exit.code, -1);
	ck_assert_int_eq(exit.status, -1);
	ck_assert_int_eq(es_task_delete(task, NULL, &env.error), 0);
	es_task_free(task);
	es_manager_close(m);
	census_assert_empty(&env);
	env_clear(&env);
}
END_TEST

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

START_TEST(removed_root)
{
	struct env env;
	struct es_manager *m;
	struct es_exec_state exec_state;
	struct es_exec *exec;
	struct es_task *task;
	uint64_t old;

	env_init(&env);
	leave_crowd(&env, 2, 0);
	in_child(add_exec, &env);
	m = env_open(&env);
	task = get(m, "live-0");
	ck_assert_int_eq(es_task_get_exec(task, "exec", &exec), 0);
	ck_assert_int_eq(es_exec_state(exec, &exec_state), 0);
	old = exec_state.trace_id;
	ck_assert_uint_gt(old, state_of(task).trace_id);
	es_exec_free(exec);
	es_task_free(task);
	es_manager_close(m);
	/* What os.RemoveAll() does: everything that can be removed is, the mount point stays. */
	ck_assert_int_lt(es_tree_remove(AT_FDCWD, env.root), 0);
	{
		char path[PATH_MAX];

		snprintf(path, sizeof(path), "%s/bpf/v1", env.root);
		ck_assert_int_eq(es_tree_remove(AT_FDCWD, path), 0);
	}
	m = env_open(&env);
	/* The live ones are watched anew, and IDs are not given out twice. */
	task = box_run(&env, m, "later", &(struct box){ .args = { "/victim", "exit", "3" } });
	ck_assert_uint_gt(state_of(task).trace_id, old);
	ck_assert_int_eq(es_task_wait(task, 20000, NULL), 0);
	es_task_free(task);
	kill_and_delete(&env, m, "later", 3);
	kill_and_delete(&env, m, "live-0", 137);
	kill_and_delete(&env, m, "live-1", 137);
	es_manager_close(m);
	census_assert_empty(&env);
	env_clear(&env);
}
END_TEST

/* The marks of the bundles name the root as it was spelled when they were made. */
START_TEST(root_spelled_differently)
{
	char alias[PATH_MAX], slash[PATH_MAX];
	const char *const spellings[] = { slash, alias };
	struct env env;

	env_init(&env);
	snprintf(slash, sizeof(slash), "%s/", env.root);
	snprintf(alias, sizeof(alias), "%s/alias", env.dir);
	ck_assert_int_eq(symlink("root", alias), 0);
	for (size_t i = 0; i < sizeof(spellings) / sizeof(spellings[0]); i++) {
		struct es_manager *m;
		struct es_task *task;

		leave_crowd(&env, 1, 0);
		box_ungo(&env, "ready");
		env.opts.root_dir = spellings[i];
		m = env_open(&env);
		ck_assert_int_eq(es_manager_settle(m, 20000), 0);
		task = get(m, "live-0");
		ck_assert_uint_eq(state_of(task).status, ES_TASK_RUNNING);
		ck_assert_uint_eq(state_of(task).flags, 0);
		es_task_free(task);
		kill_and_delete(&env, m, "live-0", 137);
		es_manager_close(m);
		env.opts.root_dir = env.root;
		census_assert_empty(&env);
	}
	env_clear(&env);
}
END_TEST

/* A manager with another root, to which the state directory of the first was given. */
START_TEST(other_root)
{
	char other[PATH_MAX];
	struct env env;
	struct es_manager *m;
	struct es_task *task;

	env_init(&env);
	leave_crowd(&env, 1, 0);
	snprintf(other, sizeof(other), "%s/other-root", env.dir);
	env.opts.root_dir = other;
	m = env_open(&env);
	ck_assert_int_eq(es_manager_settle(m, 20000), 0);
	task = get(m, "live-0");
	ck_assert_uint_eq(state_of(task).status, ES_TASK_RUNNING);
	es_task_free(task);
	kill_and_delete(&env, m, "live-0", 137);
	es_manager_close(m);
	env_clear(&env);
}
END_TEST

static void copy_tree(const char *parent, const char *how, const char *from, const char *to)
{
	char command[2 * PATH_MAX];

	snprintf(command, sizeof(command), "cd %s && cp %s %s %s", parent, how, from, to);
	ck_assert_int_eq(system(command), 0);
}

/* Somebody copied a bundle, or a whole namespace: the copy is no reason to touch the container. */
START_TEST(copied_bundles)
{
	/* -L: the mark becomes a directory, as a half-made bundle has none. */
	static const char *const ways[] = { "-a", "-rL" };
	struct env env;

	env_init(&env);
	for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
		char parent[PATH_MAX];
		struct es_task **list, *task;
		struct es_manager *m;
		struct es_exec *exec;
		struct es_exit exit;
		int n;

		leave_crowd(&env, 1, 0);
		box_ungo(&env, "ready");
		in_child(add_exec, &env);
		snprintf(parent, sizeof(parent), "%s/test", env.state);
		/* Whatever order the directory is read in. */
		copy_tree(parent, ways[i], "live-0", "copy-1");
		copy_tree(parent, ways[i], "live-0", "another");
		copy_tree(env.state, ways[i], "test", "clone");
		m = env_open(&env);
		ck_assert_int_eq(es_manager_settle(m, 20000), 0);
		task = get(m, "live-0");
		ck_assert_uint_eq(state_of(task).status, ES_TASK_RUNNING);
		ck_assert_uint_eq(state_of(task).flags, 0);
		ck_assert_int_eq(es_task_get_exec(task, "exec", &exec), 0);
		ck_assert_int_eq(es_exec_wait(exec, 0, NULL), -ETIMEDOUT);
		es_exec_free(exec);
		es_task_free(task);
		/* They can be deleted, and that does not touch it either. */
		n = es_manager_list(m, NULL, &list);
		for (int k = 0; k < n; k++) {
			if (strcmp(es_task_id(list[k]), "live-0") == 0 &&
			    strcmp(es_task_namespace(list[k]), "test") == 0)
				continue;
			ck_assert_uint_eq(state_of(list[k]).flags, ES_TASK_DAMAGED);
			ck_assert_int_eq(es_task_kill(list[k], SIGKILL), -ESRCH);
			ck_assert_msg(es_task_delete(list[k], &exit, &env.error) == 0, "%s: %s",
				      es_task_id(list[k]), env.error.message);
			ck_assert_uint_eq(exit.source, ES_EXIT_LOST);
		}
		es_task_list_free(list);
		task = get(m, "live-0");
		ck_assert_uint_eq(state_of(task).status, ES_TASK_RUNNING);
		es_task_free(task);
		kill_and_delete(&env, m, "live-0", 137);
		es_manager_close(m);
		snprintf(parent, sizeof(parent), "%s/.runtime/clone", env.state);
		rmdir(parent);
		census_assert_empty(&env);
	}
	env_clear(&env);
}
END_TEST

enum damage { TRUNCATE, FLIP, GARBAGE, REMOVE, DAMAGES };

static void damage_file(const char *path, enum damage damage)
{
	char *text;
	size_t size;

	switch (damage) {
	case TRUNCATE:
		ck_assert_int_eq(truncate(path, 7), 0);
		return;
	case GARBAGE:
		write_script(path, "\x01\x02 not ours");
		return;
	case REMOVE:
		ck_assert_int_eq(unlink(path), 0);
		return;
	default:
		break;
	}
	ck_assert_int_eq(es_file_read(AT_FDCWD, path, 1 << 20, &text, &size), 0);
	for (size_t i = 0; i < size; i += 5)
		text[i] = (char)(text[i] ^ 0x41);
	write_script(path, text);
	free(text);
}

/* A live container is never dropped because a file of its bundle cannot be read. */
START_TEST(damaged_files)
{
	static const char *const files[] = { "task.json", "init.json", "start", "init.pid" };
	struct env env;
	struct es_manager *m;
	char path[PATH_MAX];

	env_init(&env);
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		for (enum damage d = TRUNCATE; d < DAMAGES; d++) {
			struct es_task *task;

			leave_crowd(&env, 1, 0);
			box_ungo(&env, "ready");
			snprintf(path, sizeof(path), "%s/test/live-0/%s", env.state, files[i]);
			damage_file(path, d);
			m = env_open(&env);
			task = get(m, "live-0");
			ck_assert_uint_ne(state_of(task).status, ES_TASK_STOPPED);
			if (i < 2)
				ck_assert_uint_eq(state_of(task).flags, ES_TASK_DAMAGED);
			es_task_free(task);
			kill_and_delete(&env, m, "live-0", 137);
			es_manager_close(m);
			census_assert_empty(&env);
		}
	}
	env_clear(&env);
}
END_TEST

/* What strace watches: see starts_no_process. */
static int list_only(char *dirs)
{
	struct es_manager_opts opts = { .size = sizeof(opts) };
	struct es_manager *m;
	struct es_task **list;
	int n;

	opts.root_dir = strtok(dirs, ",");
	opts.state_dir = strtok(NULL, ",");
	if (es_manager_open(&opts, &m) < 0)
		return 1;
	n = es_manager_list(m, NULL, &list);
	if (n > 0)
		es_task_list_free(list);
	es_manager_close(m);
	return n == 7 ? 0 : 1;
}

int main(void)
{
	const TTest *const tests[] = {
		live_crowd, starts_no_process, other_boot,   removed_root, root_spelled_differently,
		other_root, copied_bundles,    damaged_files
	};
	char *dirs = getenv("ES_TEST_LIST");

	if (dirs)
		return list_only(dirs);
	require_runtime();
	return run_suite("reload", tests, sizeof(tests) / sizeof(tests[0]), 600);
}
