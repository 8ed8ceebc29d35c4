/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Run one more process in a container that is running, and learn how it ended.
 *
 *	exec DIR ID PROCESS OUTPUT
 *
 * DIR is where the container was created (run_task, shell), PROCESS a file with the JSON of an OCI
 * process ({"args": ["ps"], "cwd": "/", "user": {"uid": 0, "gid": 0}}), OUTPUT the absolute path of
 * a file that gets what it writes. Exits with the process's code.
 */
#include <embedshim/embedshim.h>

#include <limits.h>
#include <stdio.h>

static int fail(const char *what, const struct es_error *error)
{
	fprintf(stderr, "%s: %s\n", what, error->message);
	return 1;
}

static int run(struct es_task *task, const struct es_exec_opts *opts, struct es_exit *exit)
{
	struct es_exec *exec;
	int r;

	r = es_exec_create(task, "example", opts, &exec);
	if (r < 0)
		return r;
	r = es_exec_start(exec, opts->error);
	if (r == 0)
		r = es_exec_wait(exec, -1, exit);
	/* One that could not be started is deleted, too. */
	es_exec_delete(exec, NULL, NULL);
	es_exec_free(exec);
	return r;
}

int main(int argc, char **argv)
{
	char root[PATH_MAX], state[PATH_MAX], output[PATH_MAX + 8], process[65536];
	struct es_error error = { 0 };
	struct es_manager_opts manager_opts = { .size = sizeof(manager_opts), .error = &error };
	struct es_exec_opts opts = { .size = sizeof(opts), .error = &error };
	struct es_manager *manager;
	struct es_task *task;
	struct es_exit exit;
	FILE *f;
	int r;

	if (argc != 5) {
		fprintf(stderr, "usage: %s DIR ID PROCESS OUTPUT\n", argv[0]);
		return 2;
	}
	f = fopen(argv[3], "re");
	if (!f)
		return perror(argv[3]), 1;
	opts.process = process;
	opts.process_size = fread(process, 1, sizeof(process), f);
	fclose(f);
	snprintf(output, sizeof(output), "file://%s", argv[4]);
	opts.stdout_path = opts.stderr_path = output;

	snprintf(root, sizeof(root), "%s/root", argv[1]);
	snprintf(state, sizeof(state), "%s/state", argv[1]);
	manager_opts.root_dir = root;
	manager_opts.state_dir = state;
	if (es_manager_open(&manager_opts, &manager) < 0)
		return fail("open", &error);
	if (es_manager_get(manager, "default", argv[2], &task) < 0) {
		fprintf(stderr, "%s: no such container in %s\n", argv[2], argv[1]);
		es_manager_close(manager);
		return 1;
	}
	r = run(task, &opts, &exit);
	es_task_free(task);
	es_manager_close(manager);
	return r < 0 ? fail("exec", &error) : exit.code;
}
