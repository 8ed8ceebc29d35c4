/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Start a container, lose the program, and still learn how the container ended.
 *
 *	restart_recover start DIR BUNDLE ID	start it, then wait to be killed
 *	restart_recover report DIR ID		tell how it ended, and delete it
 */
#include <embedshim/embedshim.h>

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static struct es_error error;

static struct es_manager *open_manager(const char *dir)
{
	char root[PATH_MAX], state[PATH_MAX];
	struct es_manager_opts opts = { .size = sizeof(opts), .error = &error };
	struct es_manager *manager;

	snprintf(root, sizeof(root), "%s/root", dir);
	snprintf(state, sizeof(state), "%s/state", dir);
	opts.root_dir = root;
	opts.state_dir = state;
	return es_manager_open(&opts, &manager) == 0 ? manager : NULL;
}

static int start(const char *dir, const char *bundle, const char *id)
{
	struct es_task_opts opts = { .size = sizeof(opts), .bundle_dir = bundle, .error = &error };
	struct es_manager *manager = open_manager(dir);
	struct es_task_state state;
	struct es_task *task;

	if (!manager || es_task_create(manager, "default", id, &opts, &task) < 0 ||
	    es_task_start(task, &error) < 0 || es_task_state(task, &state) < 0)
		return -1;
	printf("%s runs as pid %d; now kill -9 %d\n", id, state.pid, getpid());
	fflush(stdout);
	for (;;)
		pause();
}

static int report(const char *dir, const char *id)
{
	struct es_manager *manager = open_manager(dir);
	struct es_task *task;
	struct es_exit exit;
	char when[64];
	time_t seconds;
	struct tm tm;

	if (!manager)
		return -1;
	if (es_manager_get(manager, "default", id, &task) < 0) {
		snprintf(error.message, sizeof(error.message), "no task %s in %s", id, dir);
		return -1;
	}
	/* Known already if it ended while we were away; otherwise we wait for it. */
	if (es_task_wait(task, -1, &exit) < 0 || es_task_delete(task, NULL, &error) < 0)
		return -1;
	seconds = (time_t)(exit.exited_real_ns / 1000000000);
	strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%S", gmtime_r(&seconds, &tm));
	printf("code=%d signal=%d source=%s exited_at=%s.%09uZ boot_ns=%llu\n", exit.code,
	       exit.signal, es_exit_source_name(exit.source), when,
	       (unsigned)(exit.exited_real_ns % 1000000000),
	       (unsigned long long)exit.exited_boot_ns);
	es_task_free(task);
	es_manager_close(manager);
	return 0;
}

int main(int argc, char **argv)
{
	int r;

	if (argc == 5 && strcmp(argv[1], "start") == 0) {
		r = start(argv[2], argv[3], argv[4]);
	} else if (argc == 4 && strcmp(argv[1], "report") == 0) {
		r = report(argv[2], argv[3]);
	} else {
		fprintf(stderr, "usage: %s start DIR BUNDLE ID | report DIR ID\n", argv[0]);
		return 2;
	}
	if (r < 0)
		fprintf(stderr, "%s\n", error.message);
	return r < 0;
}
