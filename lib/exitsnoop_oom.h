/* SPDX-License-Identifier: Apache-2.0 */
/* OOM kills in the cgroups of tasks: counted by BPF, told to the caller once. */
#ifndef ES_EXITSNOOP_OOM_H
#define ES_EXITSNOOP_OOM_H

#include "exitsnoop_pins.h"

struct es_oom_watch;

/* pins are borrowed and must stay open. 0, -ENOMEM, -EMFILE, -ENFILE. */
ES_HIDDEN int es_oom_watch_open(const struct es_exitsnoop_pins *pins, struct es_oom_watch **ret);
ES_HIDDEN void es_oom_watch_close(struct es_oom_watch *watch);

/* Polls readable when something may have been killed. Owned by the watch. */
ES_HIDDEN int es_oom_watch_fd(const struct es_oom_watch *watch);

/*
 * Count the kills in a cgroup (the inode of its directory: v2, or v1's memory hierarchy) and below.
 * 0 (also when it is watched under this ID already), -EEXIST: it is the cgroup of another task,
 * -ENOSPC.
 */
ES_HIDDEN int es_oom_watch_add(struct es_oom_watch *watch, uint64_t cgroup_id, uint64_t trace_id);
ES_HIDDEN void es_oom_watch_remove(struct es_oom_watch *watch, uint64_t cgroup_id);

/* Whether there were kills that were not taken before; they are taken now. */
ES_HIDDEN bool es_oom_watch_take(struct es_oom_watch *watch, uint64_t cgroup_id);

/* Whether es_oom_watch_next() has something. */
ES_HIDDEN bool es_oom_watch_pending(struct es_oom_watch *watch);

/* Take the kills of any one cgroup: 1 and its trace ID, 0: none, -ENOMEM. Never blocks. */
ES_HIDDEN int es_oom_watch_next(struct es_oom_watch *watch, uint64_t *trace_id);

/* Drop what belongs to no task: keep() tells which trace IDs are known. */
ES_HIDDEN void es_oom_watch_prune(struct es_oom_watch *watch,
				  bool (*keep)(uint64_t trace_id, void *arg), void *arg);

#endif
