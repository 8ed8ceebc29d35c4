/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How processes end that are not our children.
 *
 *	monitor_only DIR PID...
 */
#include <embedshim/embedshim.h>

#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

static struct es_error error;

int main(int argc, char **argv)
{
	char ids_path[PATH_MAX];
	struct es_monitor_opts opts = { .size = sizeof(opts), .error = &error };
	struct es_idalloc_opts ids_opts = { .size = sizeof(ids_opts), .error = &error };
	struct es_monitor *monitor;
	struct es_idalloc *ids;
	struct es_exit exit;
	uint64_t trace_id;
	int watched = 0, r;

	if (argc < 3) {
		fprintf(stderr, "usage: %s DIR PID...\n", argv[0]);
		return 2;
	}
	opts.root_dir = argv[1];
	if (es_monitor_open(&opts, &monitor) < 0) {
		fprintf(stderr, "%s\n", error.message);
		return 1;
	}
	snprintf(ids_path, sizeof(ids_path), "%s/trace-ids.db", argv[1]);
	ids_opts.path = ids_path;
	if (es_idalloc_open(&ids_opts, &ids) < 0) {
		fprintf(stderr, "%s\n", error.message);
		es_monitor_close(monitor);
		return 1;
	}
	for (int i = 2; i < argc; i++) {
		r = es_idalloc_next(ids, &trace_id);
		if (r == 0)
			r = es_monitor_watch(monitor, trace_id, atoi(argv[i]));
		if (r < 0)
			fprintf(stderr, "cannot watch %s (error %d)\n", argv[i], -r);
		else
			watched++;
	}
	while (watched > 0) {
		struct pollfd fd = { .fd = es_monitor_fd(monitor), .events = POLLIN };

		poll(&fd, 1, -1);
		while (es_monitor_next_exit(monitor, &exit) > 0) {
			printf("pid %d (%s): code %d, signal %d, peak %llu KiB\n", exit.pid,
			       exit.comm, exit.code, exit.signal,
			       (unsigned long long)exit.peak_rss_bytes / 1024);
			es_monitor_forget(monitor, exit.trace_id);
			watched--;
		}
	}
	es_idalloc_free(ids);
	es_monitor_close(monitor);
	return 0;
}
