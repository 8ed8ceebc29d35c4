/* SPDX-License-Identifier: Apache-2.0 */
/* The processes of ours that serve streams: found again after a restart, and brought to their end.
 */
#include "process_io_end.h"

#include <dirent.h>
#include <signal.h>
#include <string.h>

#include "clock.h"
#include "fs.h"
#include "log.h"

/* A SIGKILLed process that is not gone by then hangs in the kernel. */
#define KILLED_WAIT_MS 5000

static const char *const names[ES_IO_SERVERS] = { "terminal or stdin helper", "stdout logger",
						  "stderr logger" };

static bool has_record(const char *dir)
{
	cleanup_free char *path = NULL;

	return es_path_join(&path, dir, ES_IO_RECORD_FILE) == 0 && access(path, F_OK) == 0;
}

void es_process_io_reload(const char *dir, const char *const *name, struct es_json *json,
			  struct es_reaper *reaper)
{
	struct es_io_record record;

	if (!has_record(dir) || es_io_record_read(dir, json, &record) < 0)
		return;
	for (int i = 0; i < ES_IO_SERVERS; i++) {
		struct es_pidref process;
		char what[128];

		if (es_io_record_open(&record, (enum es_io_server)i, &process) < 0)
			continue;
		snprintf(what, sizeof(what), "%s of %.80s", names[i], name[2] ? name[2] : name[1]);
		es_reaper_add(reaper, &process, what);
	}
}

static int next_of(const char *dir, struct es_io_served *ret)
{
	CLEANUP(cleanup_es_json_free) struct es_json *json = NULL;
	struct es_io_record record;
	int r;

	if (!has_record(dir))
		return -ESRCH;
	r = es_json_new(&json);
	if (r == 0)
		r = es_io_record_read(dir, json, &record);
	if (r < 0)
		return r == -ENOENT ? -ESRCH : r;
	for (int i = 0; i < ES_IO_SERVERS; i++) {
		ret->server = (enum es_io_server)i;
		if (es_io_record_open(&record, ret->server, &ret->process) < 0)
			continue;
		if (!es_pidref_has_exited(&ret->process))
			return 0;
		es_pidref_close(&ret->process);
	}
	return -ESRCH;
}

int es_process_io_next(const char *dir, struct es_io_served *ret)
{
	cleanup_free char *execs = NULL;
	struct dirent *entry;
	DIR *d;
	int r;

	ret->process = ES_PIDREF_UNSET;
	if (next_of(dir, ret) == 0)
		return 0;
	if (es_path_join(&execs, dir, "execs") < 0)
		return -ENOMEM;
	d = opendir(execs);
	if (!d)
		return -ESRCH;
	r = -ESRCH;
	while (r < 0 && (entry = readdir(d))) {
		cleanup_free char *exec = NULL;

		if (entry->d_name[0] != '.' && es_path_join(&exec, execs, entry->d_name) == 0)
			r = next_of(exec, ret);
	}
	closedir(d);
	return r;
}

/* Whether it has ended. */
static bool end_one(const struct es_io_served *served, uint64_t drain_ns)
{
	const char *what = names[served->server];

	if (es_pidref_wait(&served->process, drain_ns) == 0)
		return true;
	if (served->server != ES_IO_HELPER_PROCESS) {
		es_pidref_signal(&served->process, SIGTERM);
		if (es_pidref_wait(&served->process, es_deadline_after_ms(ES_LOGGER_END_MS)) == 0)
			return true;
	}
	es_log(ES_LOG_WARNING, "%s (process %d) did not finish in time and is killed", what,
	       served->process.pid);
	es_pidref_signal(&served->process, SIGKILL);
	return es_pidref_wait(&served->process, es_deadline_after_ms(KILLED_WAIT_MS)) == 0;
}

void es_process_io_end(const char *dir, struct es_reaper *reaper)
{
	uint64_t drain = es_deadline_after_ms(ES_IO_DRAIN_MS);
	struct es_io_served served;
	bool ended = true;

	while (ended && es_process_io_next(dir, &served) == 0) {
		ended = end_one(&served, drain);
		es_pidref_close(&served.process);
	}
	es_reaper_run(reaper);
}
