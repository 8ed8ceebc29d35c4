/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * What the BPF programs and user space share: map values, limits, program arguments.
 *
 * The maps are pinned and outlive both sides. A change of any struct in here, of a key or of a
 * map's type needs a new EXITSNOOP_LAYOUT, which names the pin directory.
 */
#ifndef EXITSNOOP_MAPS_H
#define EXITSNOOP_MAPS_H

#define EXITSNOOP_LAYOUT 1

/* Runtime commands that are followed at the same time, and the most processes of one. */
#define EXITSNOOP_FOLLOWS      512
#define EXITSNOOP_FOLLOW_SLOTS 32

/* Processes of all runtime commands under way; a runc command has four and one for each hook. */
#define EXITSNOOP_FOLLOWED 8192

/* State of a record. */
enum exitsnoop_state {
	EXITSNOOP_RESERVED = 1, /* room only, no process yet */
	EXITSNOOP_ALIVE = 2,
	EXITSNOOP_EXITED = 3
};

enum exitsnoop_record_flags {
	EXITSNOOP_OOM = 1 /* the OOM killer chose this process */
};

/* One process: alive, or how it ended. Times in ns on CLOCK_BOOTTIME. */
struct exitsnoop_record {
	__u32 state;
	__u32 pid;  /* as the process that was marked first sees it; 0: not visible there */
	__u32 tgid; /* in the initial PID namespace */
	__s32 status;
	__u32 flags;
	__u32 pad;
	__u64 start_ns;
	__u64 end_ns;
	__u64 user_ns;
	__u64 system_ns;
	__u64 peak_rss_pages;
	__u64 cgroup_id;
	char comm[16];
};

/* Map `exits`: trace ID -> record. User space inserts RESERVED; BPF only replaces. */

/* Map `follows`: trace ID -> a runtime command under way. */
struct exitsnoop_follow {
	__u32 resolved; /* nothing is inherited any more */
	__u32 overflow; /* a process could not be followed */
	__u32 ns_level; /* PID namespace of the first marked process: the library's own */
	__u32 ns_inum;
	__u32 next_slot; /* where to look for a free one first; may lag behind */
	__u32 pad;
};

/* Map `followed`: its processes; slots are taken from 0 up, without gaps. -> record */
struct exitsnoop_followed_key {
	__u64 trace_id;
	__u32 slot;
	__u32 pad;
};

/* mark.slot of a process that the record in `exits` belongs to. */
#define EXITSNOOP_SLOT_RESOLVED 0xffffffffU

/* Map `marks`: thread group ID in the initial PID namespace -> who it is. */
struct exitsnoop_mark {
	__u64 trace_id;
	__u64 start_ns; /* tells a reused number apart */
	__u64 leader;	/* task_struct of the leader whose exit code is in leader_code */
	__s32 leader_code;
	__u32 slot; /* of the follow, or EXITSNOOP_SLOT_RESOLVED */
	__u32 pid;  /* as in the record */
	__u32 pad;
};

/* Map `cgroups`: cgroup ID -> the task whose cgroup it is, and what the OOM killer did below it. */
struct exitsnoop_cgroup {
	__u64 trace_id;
	__u64 oom_kills; /* counted by BPF */
};

/* Map `oom_seen`: cgroup ID -> oom_kills that user space has told its caller about. */

/* Map `wakeups`: a ring buffer of cgroup IDs in which something was killed. Only wakes: what counts
   is in `cgroups`. */
#define EXITSNOOP_WAKEUPS_SIZE 4096

/* Cgroups below a task's that are looked through upwards. */
#define EXITSNOOP_CGROUP_DEPTH 32

/* Map `config`, index 0. Written last when the programs are set up: its presence means complete. */
struct exitsnoop_config {
	__u32 layout;
	__u32 capacity;
	__u64 build; /* hash of the BPF object */
};

/* Map `attach`, index 0: what the iterator looks for, and what it has found. */
struct exitsnoop_attach {
	__u64 trace_id;
	__u32 pid;    /* in the PID namespace of the process that reads the iterator */
	__s32 result; /* enum exitsnoop_attach_result */
};

enum exitsnoop_attach_result {
	EXITSNOOP_ATTACH_NOT_FOUND = 0,
	EXITSNOOP_ATTACH_DONE = 1,
	EXITSNOOP_ATTACH_TAKEN = 2,   /* marked under another trace ID */
	EXITSNOOP_ATTACH_NO_SLOT = 3, /* nothing reserved, or it has a process */
	EXITSNOOP_ATTACH_FULL = 4
};

/* Return values of the programs that user space runs. */
enum exitsnoop_mark_result {
	EXITSNOOP_MARK_DONE = 0,
	EXITSNOOP_MARK_NO_FOLLOW = 1, /* nothing follows under that ID (any more) */
	EXITSNOOP_MARK_FULL = 2
};

enum exitsnoop_resolve_result {
	EXITSNOOP_RESOLVE_UNKNOWN = 0,
	EXITSNOOP_RESOLVE_ALIVE = 1,
	EXITSNOOP_RESOLVE_EXITED = 2
};

#endif
