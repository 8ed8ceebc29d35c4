/* SPDX-License-Identifier: Apache-2.0 */
/* What a manager finds after a kill -9, a reboot, or a removed root. */
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
#include "crowd.h"
#include "fs.h"

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
	env_finish(&env, m);
}
END_TEST

/* Counted by strace: forks and execs of a process that only opens, lists and closes. */
START_TEST(starts_no_process)
{
	char command[3 * PATH_MAX], trace[PATH_MAX], line[4096];
	struct env env;
	struct es_manager *m;
	const int live = test_count(5, 200), created = 2;
	int processes = 0, n = 0;
	FILE *f;

	env_init(&env);
	if (system("command -v strace >/dev/null") != 0) {
		printf("SKIPPED starts_no_process: strace is not installed\n");
		env_clear(&env);
		return;
	}
	leave_crowd(&env, live, created);
	snprintf(trace, sizeof(trace), "%s/trace", env.dir);
	snprintf(command, sizeof(command),
		 "ASAN_OPTIONS=detect_leaks=0 strace -f -o %s "
		 "-e trace=clone,clone3,fork,vfork,execve env ES_TEST_LIST=%s,%s,%d /proc/%d/exe",
		 trace, env.root, env.state, live + created, getpid());
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
	printf("processes started by a reload of %d tasks: %d\n", live + created, processes);
	ck_assert_int_eq(processes, 0);
	m = env_open(&env);
	for (int i = 0; i < live + created; i++) {
		char id[32];

		snprintf(id, sizeof(id), i < live ? "live-%d" : "created-%d",
			 i < live ? i : i - live);
		kill_and_delete(&env, m, id, 137);
	}
	env_finish(&env, m);
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
	leave_crowd(&env, 2, 0);
	f = fopen("/proc/sys/kernel/random/boot_id", "re");
	ck_assert_int_eq(fscanf(f, "%39s", boot_id), 1);
	fclose(f);
	/* As after a reboot: the process, the pins and the boot ID are gone. */
	m = env_open(&env);
	for (int i = 0; i < 2; i++) {
		task = get(m, i ? "live-1" : "live-0");
		ck_assert_int_eq(es_task_kill(task, SIGKILL), 0);
		ck_assert_int_eq(es_task_wait(task, 20000, NULL), 0);
		es_task_free(task);
	}
	es_manager_close(m);
	ck_assert(wait_until(census_take(&env).processes == 0));
	snprintf(path, sizeof(path), "%s/bpf/v1", env.root);
	ck_assert_int_eq(es_tree_remove(AT_FDCWD, path), 0);
	for (int i = 0; i < 2; i++) {
		snprintf(path, sizeof(path), "%s/test/live-%d/task.json", env.state, i);
		edit_file(path, boot_id, "11111111-2222-3333-4444-555555555555");
	}
	snprintf(path, sizeof(path), "%s/test/live-0/exit.json", env.state);
	ck_assert_int_eq(unlink(path), 0);

	m = env_open(&env);
	task = get(m, "live-0");
	ck_assert_uint_eq(state_of(task).status, ES_TASK_STOPPED);
	ck_assert_int_eq(es_task_wait(task, 0, &exit), 0);
	ck_assert_uint_eq(exit.source, ES_EXIT_LOST);
	ck_assert_int_eq(exit.code, -1);
	ck_assert_int_eq(exit.status, -1);
	box_delete(&env, task);
	/* What was saved in time is told. */
	kill_and_delete(&env, m, "live-1", 137);
	env_finish(&env, m);
}
END_TEST

/* The wall clock may be set between two openings: what was told of an exit stays. */
START_TEST(told_times)
{
	char path[PATH_MAX], told[32], edited[32];
	struct es_exit first, second;
	struct env env;
	struct es_manager *m;
	struct es_task *task;

	env_init(&env);
	m = env_open(&env);
	task = box_run(&env, m, "told", &(struct box){ .args = { "/victim", "exit", "3" } });
	ck_assert_int_eq(es_task_wait(task, 20000, &first), 0);
	es_task_free(task);
	es_manager_close(m);
	/* As if the clock had been one hour behind then. */
	snprintf(path, sizeof(path), "%s/test/told/exit.json", env.state);
	snprintf(told, sizeof(told), "%llu", (unsigned long long)first.exited_real_ns);
	first.exited_real_ns -= 3600 * NSEC_PER_SEC;
	snprintf(edited, sizeof(edited), "%llu", (unsigned long long)first.exited_real_ns);
	edit_file(path, told, edited);

	m = env_open(&env);
	task = get(m, "told");
	ck_assert_int_eq(es_task_wait(task, 0, &second), 0);
	ck_assert_int_eq(second.code, 3);
	ck_assert_uint_eq(second.source, ES_EXIT_BPF);
	ck_assert_uint_eq(second.exited_real_ns, first.exited_real_ns);
	box_delete(&env, task);
	env_finish(&env, m);
}
END_TEST

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
	leave_exec(&env);
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
	env_finish(&env, m);
}
END_TEST

/* What strace watches: see starts_no_process. */
static int list_only(char *dirs)
{
	struct es_manager_opts opts = { .size = sizeof(opts) };
	struct es_manager *m;
	struct es_task **list;
	int expected, n;

	opts.root_dir = strtok(dirs, ",");
	opts.state_dir = strtok(NULL, ",");
	expected = atoi(strtok(NULL, ","));
	if (es_manager_open(&opts, &m) < 0)
		return 1;
	n = es_manager_list(m, NULL, &list);
	if (n > 0)
		es_task_list_free(list);
	es_manager_close(m);
	return n == expected ? 0 : 1;
}

int main(void)
{
	const TTest *const tests[] = { live_crowd, starts_no_process, other_boot, told_times,
				       removed_root };
	char *dirs = getenv("ES_TEST_LIST");

	if (dirs)
		return list_only(dirs);
	require_runtime();
	return run_suite("reload", tests, sizeof(tests) / sizeof(tests[0]), 600);
}
