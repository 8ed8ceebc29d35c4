/* SPDX-License-Identifier: Apache-2.0 */
/* The BPF programs and their maps: load, pin, take over, reserve, follow, look up. Only user of
 * libbpf. */
#ifndef ES_EXITSNOOP_H
#define ES_EXITSNOOP_H

#include <embedshim/exit.h>
#include <stdbool.h>

#include "exitsnoop_oom.h"
#include "util.h"

struct es_exitsnoop;

struct es_exitsnoop_opts {
	const char *root_dir; /* exists; the caller holds its lock */
	const char *bpf_dir;  /* NULL: choose */
	uint32_t capacity;    /* 0: ES_EXITSNOOP_CAPACITY */
	bool require_persistent;
	struct es_error *error;
};

#define ES_EXITSNOOP_CAPACITY 10000U

/*
 * Open: take over pinned programs of the same build, replace those of another build without a gap
 * (attach new, pin beside, rename over), load and pin otherwise. Results as es_monitor_open().
 * Never prints; libbpf's own messages go to es_log at debug, the last lines of a refused load into
 * the error.
 */
ES_HIDDEN int es_exitsnoop_open(const struct es_exitsnoop_opts *opts, struct es_exitsnoop **ret);
/* Drop the handle; the pins stay. Accepts NULL. */
ES_HIDDEN void es_exitsnoop_close(struct es_exitsnoop *snoop);
/* Drop the handle, the pins and a mount of ours. */
ES_HIDDEN void es_exitsnoop_close_and_unpin(struct es_exitsnoop *snoop);
ES_HIDDEN const char *es_exitsnoop_warning(const struct es_exitsnoop *snoop);
ES_HIDDEN const char *es_exitsnoop_pin_dir(const struct es_exitsnoop *snoop);
ES_HIDDEN uint32_t es_exitsnoop_capacity(const struct es_exitsnoop *snoop);

/* OOM kills in the cgroups of tasks. Owned by the handle. */
ES_HIDDEN struct es_oom_watch *es_exitsnoop_oom(const struct es_exitsnoop *snoop);

/* Reserve the slot of an exit. -ENOSPC: capacity used up; -EEXIST. */
ES_HIDDEN int es_exitsnoop_reserve(struct es_exitsnoop *snoop, uint64_t trace_id);
/* Free the slot and stop following under that ID; nothing to do is success. */
ES_HIDDEN int es_exitsnoop_release(struct es_exitsnoop *snoop, uint64_t trace_id);

/*
 * Follow what a child process spawns. begin: before es_spawn() with es_exitsnoop_mark_prog_fd()
 * and the trace ID, whose slot is reserved. resolve: pid is the process whose exit the slot
 * records; 0, or -ESRCH when pid is not among the followed. end: forget everything else.
 * begin: -ENOSPC when too many runtime commands are under way at once.
 */
ES_HIDDEN int es_exitsnoop_follow(struct es_exitsnoop *snoop, uint64_t trace_id);
ES_HIDDEN int es_exitsnoop_mark_prog_fd(const struct es_exitsnoop *snoop);
ES_HIDDEN int es_exitsnoop_resolve(struct es_exitsnoop *snoop, uint64_t trace_id, pid_t pid);
ES_HIDDEN int es_exitsnoop_unfollow(struct es_exitsnoop *snoop, uint64_t trace_id);

/* One process seen while following. */
struct es_exitsnoop_process {
	pid_t pid; /* in the PID namespace of the process that marked; 0: not visible there */
	bool exited;
	int status; /* wait status if exited */
	uint64_t start_boot_ns;
};
#define ES_EXITSNOOP_FOLLOW_MAX 32
/* The processes followed under trace_id, the runtime itself first. Number of them; -ENOENT if
   nothing is followed under that ID (any more). *overflow: there were more than fit. */
ES_HIDDEN int es_exitsnoop_followed(struct es_exitsnoop *snoop, uint64_t trace_id,
				    struct es_exitsnoop_process procs[ES_EXITSNOOP_FOLLOW_MAX],
				    bool *overflow);

/*
 * Watch a process that was not followed: slot must be reserved and still without a process. A
 * zombie's status is recorded at once. -ESRCH: no such process in our PID namespace;
 * -EEXIST: it is watched under another ID; -EBUSY: the slot has a process; -ENOSPC.
 */
ES_HIDDEN int es_exitsnoop_attach(struct es_exitsnoop *snoop, uint64_t trace_id, pid_t pid);

/*
 * The record of a slot. 0: exited, *ret filled with source ES_EXIT_BPF and wall-clock times;
 * -EAGAIN: alive (ret->pid, started_* filled) or reserved only (ret->pid 0); -ENOENT: no slot.
 */
ES_HIDDEN int es_exitsnoop_lookup(struct es_exitsnoop *snoop, uint64_t trace_id,
				  struct es_exit *ret);

/* All trace IDs with a slot or a follow, malloc()ed, unsorted, no duplicates lost while the map
   changes (batch lookups). Number, or a negative errno. */
ES_HIDDEN int es_exitsnoop_list(struct es_exitsnoop *snoop, uint64_t **ret);

#endif
