/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The shortest useful program: create a container from an OCI bundle, start it, wait, delete it.
 *
 *	run_task DIR BUNDLE ID
 *
 * DIR is a scratch directory of ours, BUNDLE an OCI bundle (config.json and a root file system).
 * Exits with the container's code.
 */
#include <embedshim/embedshim.h>

#include <limits.h>
#include <stdio.h>

static int fail(const char *what, const struct es_error *error)
{
	fprintf(stderr, "%s: %s\n", what, error->message);
	return 1;
}

int main(int argc, char **argv)
{
	char root[PATH_MAX], state[PATH_MAX];
	struct es_error error = { 0 };
	struct es_manager_opts manager_opts = { .size = sizeof(manager_opts), .error = &error };
	struct es_task_opts task_opts = { .size = sizeof(task_opts), .error = &error };
	struct es_manager *manager;
	struct es_task *task;
	struct es_exit exit;
	int r;

	if (argc != 4) {
		fprintf(stderr, "usage: %s DIR BUNDLE ID\n", argv[0]);
		return 2;
	}
	snprintf(root, sizeof(root), "%s/root", argv[1]);
	snprintf(state, sizeof(state), "%s/state", argv[1]);
	manager_opts.root_dir = root;
	manager_opts.state_dir = state;
	if (es_manager_open(&manager_opts, &manager) < 0)
		return fail("open", &error);

	task_opts.bundle_dir = argv[2];
	r = es_task_create(manager, "default", argv[3], &task_opts, &task);
	if (r == 0) {
		r = es_task_start(task, &error);
		if (r == 0)
			r = es_task_wait(task, -1, &exit);
		/* A task that could not be started is deleted, too. */
		if (es_task_delete(task, &exit, &error) < 0)
			r = fail("delete", &error);
		es_task_free(task);
	}
	es_manager_close(manager);
	if (r != 0)
		return r < 0 ? fail("run", &error) : r;
	printf("%s: exit code %d, signal %d, known from %s\n", argv[3], exit.code, exit.signal,
	       es_exit_source_name(exit.source));
	return exit.code;
}
