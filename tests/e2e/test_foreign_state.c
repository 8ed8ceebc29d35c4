/* SPDX-License-Identifier: Apache-2.0 */
/* State directories that are not as the library left them: damaged, moved, copied. */
#include <fcntl.h>
#include <glob.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "crowd.h"
#include "fs.h"

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
		leave_exec(&env);
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

/* Nor does a damaged exec keep its task, or the manager, from coming back. */
START_TEST(damaged_execs)
{
	static const char *const files[] = { "exec.json", "init.json", "init.pid", "process.json" };
	struct env env;

	env_init(&env);
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		for (enum damage d = TRUNCATE; d < DAMAGES; d++) {
			struct es_manager *m;
			char pattern[PATH_MAX];
			glob_t found;

			leave_crowd(&env, 1, 0);
			leave_exec(&env);
			snprintf(pattern, sizeof(pattern), "%s/test/live-0/execs/*/%s", env.state,
				 files[i]);
			ck_assert_int_eq(glob(pattern, 0, NULL, &found), 0);
			ck_assert_uint_eq(found.gl_pathc, 1);
			damage_file(found.gl_pathv[0], d);
			globfree(&found);
			m = env_open(&env);
			kill_and_delete(&env, m, "live-0", 137);
			es_manager_close(m);
			census_assert_empty(&env);
		}
	}
	env_clear(&env);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = { root_spelled_differently, other_root, copied_bundles,
				       damaged_files, damaged_execs };

	require_runtime();
	return run_suite("foreign_state", tests, sizeof(tests) / sizeof(tests[0]), 300);
}
