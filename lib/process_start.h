/* SPDX-License-Identifier: Apache-2.0 */
/* From a runtime command to the process it has started, whose exit cannot be missed. */
#ifndef ES_PROCESS_START_H
#define ES_PROCESS_START_H

#include "context.h"

/* Before anything runs: reserve the slot of the exit, and follow what the runtime will fork.
   -ENOSPC: the capacity is used up. */
ES_HIDDEN int es_process_reserve(struct es_manager *manager, uint64_t trace_id,
				 struct es_error *error);

/*
 * After the runtime: bind the slot to the process in dir's pid file, fill the record (its trace_id
 * and boot_id are set by the caller) and open *ref, unless the process is gone already; its exit is
 * recorded then.
 */
ES_HIDDEN int es_process_resolve(struct es_manager *manager, const char *dir,
				 struct es_process_record *record, struct es_pidref *ref,
				 struct es_error *error);

/* Have the monitor watch it, and follow nothing else any more. *ref is taken. */
ES_HIDDEN int es_process_watch(struct es_manager *manager, uint64_t trace_id,
			       struct es_pidref *ref);

/*
 * Bring back a process of before a restart: watch it, or adopt its exit as the kernel recorded it
 * or as it is in dir's exit.json, or as lost. record->pid 0: it is not known.
 */
ES_HIDDEN int es_process_reload(struct es_manager *manager, const char *dir, struct es_json *json,
				struct es_process_record *record);

/* Kill whatever is followed under the ID and wait for its end, at most a few seconds. */
ES_HIDDEN void es_process_kill_followed(struct es_manager *manager, uint64_t trace_id);

#endif
