// SPDX-License-Identifier: GPL-2.0-only
/*
 * Records how watched processes end, and follows what an OCI runtime forks until user space has
 * told which of the processes is the container's.
 *
 * Everything unrelated pays for is one failed lookup in `marks` per fork and per thread exit, and a
 * look at the exiting process's oom_mm.
 */
#include "kernel.h"

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

#include "exitsnoop_maps.h"

char LICENSE[] SEC("license") = "GPL";

/* Sizes of `exits` and `marks` are set by user space before the load. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, __u64);
	__type(value, struct exitsnoop_record);
} exits SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct exitsnoop_mark);
} marks SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, EXITSNOOP_FOLLOWS);
	__type(key, __u64);
	__type(value, struct exitsnoop_follow);
} follows SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, EXITSNOOP_FOLLOWED);
	__type(key, struct exitsnoop_followed_key);
	__type(value, struct exitsnoop_record);
} followed SEC(".maps");

/* Sizes of the next two as that of `exits`. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, __u64);
	__type(value, struct exitsnoop_cgroup);
} cgroups SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, __u64);
	__type(value, __u64);
} oom_seen SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, EXITSNOOP_WAKEUPS_SIZE);
} wakeups SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct exitsnoop_config);
} config SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct exitsnoop_attach);
} attach SEC(".maps");

/* The number of p in the PID namespace (level, inum); 0 if it is not visible there. */
static __always_inline __u32 pid_in_namespace(struct pid *p, __u32 level, __u32 inum)
{
	struct upid *upid;

	if (!p || level > BPF_CORE_READ(p, level))
		return 0;
	/* struct pid and struct upid have moved and grown: both offsets are the running kernel's.
	 */
	upid = (void *)p + bpf_core_field_offset(struct pid, numbers) +
	       level * bpf_core_type_size(struct upid);
	if (BPF_CORE_READ(upid, ns, ns.inum) != inum)
		return 0;
	return BPF_CORE_READ(upid, nr);
}

static __always_inline struct pid *thread_group_pid(struct task_struct *t)
{
	return BPF_CORE_READ(t, signal, pids[PIDTYPE_TGID]);
}

/* The innermost PID namespace of t. */
static __always_inline void own_namespace(struct task_struct *t, __u32 *level, __u32 *inum)
{
	struct pid *p = thread_group_pid(t);
	struct upid *upid;

	*level = BPF_CORE_READ(p, level);
	upid = (void *)p + bpf_core_field_offset(struct pid, numbers) +
	       *level * bpf_core_type_size(struct upid);
	*inum = BPF_CORE_READ(upid, ns, ns.inum);
}

/*
 * Cgroup v1 has no single cgroup: there it is the memory hierarchy's, the one OOM kills are counted
 * in. On v2 that controller may be enabled for an ancestor only: there it is the process's own.
 */
static __always_inline struct cgroup *cgroup_of(struct task_struct *t)
{
	struct css_set *set = BPF_CORE_READ(t, cgroups);
	struct cgroup_subsys_state *css = NULL;

	if (bpf_core_enum_value_exists(enum cgroup_subsys_id, memory_cgrp_id))
		bpf_core_read(&css, sizeof(css),
			      (void *)set + bpf_core_field_offset(struct css_set, subsys) +
				      bpf_core_enum_value(enum cgroup_subsys_id, memory_cgrp_id) *
					      sizeof(css));
	if (css && BPF_CORE_READ(css, cgroup, root, hierarchy_id))
		return BPF_CORE_READ(css, cgroup);
	return BPF_CORE_READ(set, dfl_cgrp);
}

/* Count an OOM kill for every task whose cgroup t is in or below. */
static __always_inline void count_oom_kill(struct task_struct *t)
{
	struct cgroup *cgroup = cgroup_of(t);

	for (int i = 0; i < EXITSNOOP_CGROUP_DEPTH && cgroup; i++) {
		__u64 id = BPF_CORE_READ(cgroup, kn, id);
		struct exitsnoop_cgroup *of = bpf_map_lookup_elem(&cgroups, &id);

		if (of) {
			__sync_fetch_and_add(&of->oom_kills, 1);
			bpf_ringbuf_output(&wakeups, &id, sizeof(id), BPF_RB_FORCE_WAKEUP);
		}
		cgroup = BPF_CORE_READ(cgroup, self.parent, cgroup);
	}
}

/* What there is to know about the thread group of t, whose wait status is known. */
static __always_inline void fill_exited(struct exitsnoop_record *r, struct task_struct *t,
					struct task_struct *leader, int status)
{
	struct signal_struct *signal = BPF_CORE_READ(t, signal);

	r->state = EXITSNOOP_EXITED;
	r->tgid = BPF_CORE_READ(leader, tgid);
	r->status = status;
	r->start_ns = BPF_CORE_READ(leader, start_boottime);
	r->end_ns = bpf_ktime_get_boot_ns();
	/* Threads that are gone are in signal; this one, the last, is not yet. */
	r->user_ns = BPF_CORE_READ(signal, utime) + BPF_CORE_READ(t, utime);
	r->system_ns = BPF_CORE_READ(signal, stime) + BPF_CORE_READ(t, stime);
	r->peak_rss_pages = BPF_CORE_READ(signal, maxrss);
	r->cgroup_id = BPF_CORE_READ(cgroup_of(t), kn, id);
	/* Also set on a process that was found dying of something else. */
	if (BPF_CORE_READ(signal, oom_mm) && (status & 0x7f) == SIGKILL)
		r->flags |= EXITSNOOP_OOM;
	BPF_CORE_READ_STR_INTO(&r->comm, leader, comm);
}

/* Write an exit into its slot. Two threads may come here for one process, with the same values. */
static __always_inline void record_exit(__u64 trace_id, const struct exitsnoop_record *record)
{
	struct exitsnoop_record *old = bpf_map_lookup_elem(&exits, &trace_id);

	if (!old || old->state == EXITSNOOP_EXITED)
		return;
	/* The whole element at once: a reader never sees half of it. EXIST: user space may just
	   be releasing the slot. */
	bpf_map_update_elem(&exits, &trace_id, record, BPF_EXIST);
}

static __always_inline void fill_alive(struct exitsnoop_record *r, struct task_struct *leader,
				       __u32 pid)
{
	r->state = EXITSNOOP_ALIVE;
	r->pid = pid;
	r->tgid = BPF_CORE_READ(leader, tgid);
	r->start_ns = BPF_CORE_READ(leader, start_boottime);
	BPF_CORE_READ_STR_INTO(&r->comm, leader, comm);
}

/* The first free slot of a follow, taken by putting the record there; -1 if there is none. */
static __always_inline int take_slot(__u64 trace_id, struct exitsnoop_follow *follow,
				     struct exitsnoop_record *record)
{
	struct exitsnoop_followed_key key = { .trace_id = trace_id };
	__u32 first = follow->next_slot;

	for (int i = 0; i < EXITSNOOP_FOLLOW_SLOTS; i++) {
		key.slot = first + i;
		if (key.slot >= EXITSNOOP_FOLLOW_SLOTS)
			break;
		/* Two children may be forked at once: only one of them finds the slot free. */
		if (!bpf_map_update_elem(&followed, &key, record, BPF_NOEXIST)) {
			follow->next_slot = key.slot + 1;
			return (int)key.slot;
		}
	}
	return -1;
}

/* Mark a thread group as followed under trace_id. */
static __always_inline int follow_process(struct task_struct *leader, __u64 trace_id,
					  struct exitsnoop_follow *follow)
{
	struct exitsnoop_mark mark = { .trace_id = trace_id }, *old;
	struct exitsnoop_record record = {};
	__u32 tgid;
	int slot;

	fill_alive(&record, leader,
		   pid_in_namespace(thread_group_pid(leader), follow->ns_level, follow->ns_inum));
	mark.start_ns = record.start_ns;
	mark.pid = record.pid;
	tgid = record.tgid;
	old = bpf_map_lookup_elem(&marks, &tgid);
	/* While the programs are being replaced two of them run: the other one did it. */
	if (old && old->trace_id == trace_id && old->start_ns == mark.start_ns)
		return EXITSNOOP_MARK_DONE;
	slot = take_slot(trace_id, follow, &record);
	mark.slot = slot;
	if (slot < 0 || bpf_map_update_elem(&marks, &tgid, &mark, BPF_ANY)) {
		follow->overflow = 1;
		return EXITSNOOP_MARK_FULL;
	}
	return EXITSNOOP_MARK_DONE;
}

/*
 * Run by the child of es_spawn() on itself, before it executes the runtime: it is still in the
 * library's PID namespace, so its numbering is the library's. args[0]: trace ID.
 */
SEC("raw_tracepoint/exitsnoop_mark_self")
int mark_self(struct bpf_raw_tracepoint_args *ctx)
{
	struct task_struct *leader =
		BPF_CORE_READ((struct task_struct *)bpf_get_current_task(), group_leader);
	__u64 trace_id = ctx->args[0];
	struct exitsnoop_follow *follow;

	follow = bpf_map_lookup_elem(&follows, &trace_id);
	if (!follow)
		return EXITSNOOP_MARK_NO_FOLLOW;
	own_namespace(leader, &follow->ns_level, &follow->ns_inum);
	return follow_process(leader, trace_id, follow);
}

/* A new thread group of a process that is followed and not resolved is followed too. */
SEC("raw_tracepoint/sched_process_fork")
int on_fork(struct bpf_raw_tracepoint_args *ctx)
{
	__u32 tgid = bpf_get_current_pid_tgid() >> 32;
	struct exitsnoop_mark *mark = bpf_map_lookup_elem(&marks, &tgid);
	struct exitsnoop_follow *follow;
	struct task_struct *child;
	__u64 trace_id;

	if (!mark || mark->slot == EXITSNOOP_SLOT_RESOLVED)
		return 0;
	child = (struct task_struct *)ctx->args[1];
	if (BPF_CORE_READ(child, pid) != BPF_CORE_READ(child, tgid))
		return 0;
	trace_id = mark->trace_id;
	follow = bpf_map_lookup_elem(&follows, &trace_id);
	if (follow && !follow->resolved)
		follow_process(child, trace_id, follow);
	return 0;
}

/*
 * The wait status, once the last thread is exiting (signal->live is 0). Since 6.0 the last thread
 * always finds SIGNAL_GROUP_EXIT set; before, without it, the leader's own code counts, which a
 * leader that is still on its way has not stored yet: then its own event tells.
 */
static __always_inline bool wait_status(struct exitsnoop_mark *mark, struct task_struct *leader,
					struct signal_struct *signal, int *status)
{
	if (BPF_CORE_READ(signal, flags) & SIGNAL_GROUP_EXIT) {
		*status = BPF_CORE_READ(signal, group_exit_code);
		return true;
	}
	*status = mark->leader_code;
	return mark->leader == (__u64)leader;
}

/* Whether a mark is still that of a process: one that is deleted serves another at once. */
static __always_inline bool is_of(const struct exitsnoop_mark *mark, __u64 start_ns)
{
	return *(const volatile __u64 *)&mark->start_ns == start_ns;
}

/* An exit of a process that is followed: it may be the container's, and may be resolved by now. */
static __always_inline void record_followed(struct exitsnoop_mark *mark,
					    const struct exitsnoop_mark *own,
					    const struct exitsnoop_record *record)
{
	struct exitsnoop_followed_key key = { .trace_id = own->trace_id, .slot = own->slot };

	/* EXIST: the slot is gone when the follow has ended, and must not come back. */
	bpf_map_update_elem(&followed, &key, record, BPF_EXIST);
	/* First the record, then this look: see resolve(). */
	if (*(volatile __u32 *)&mark->slot == EXITSNOOP_SLOT_RESOLVED && is_of(mark, own->start_ns))
		record_exit(own->trace_id, record);
}

/* The OOM killer also sets oom_mm of a process that it found dying of something else. */
static __always_inline bool died_of_oom(struct signal_struct *signal)
{
	return BPF_CORE_READ(signal, live.counter) == 0 &&
	       (BPF_CORE_READ(signal, group_exit_code) & 0x7f) == SIGKILL;
}

SEC("raw_tracepoint/sched_process_exit")
int on_exit(struct bpf_raw_tracepoint_args *ctx)
{
	__u32 tgid = bpf_get_current_pid_tgid() >> 32;
	struct exitsnoop_mark *mark = bpf_map_lookup_elem(&marks, &tgid);
	struct exitsnoop_record record = {};
	struct task_struct *task, *leader;
	struct signal_struct *signal;
	struct exitsnoop_mark own;
	int status;

	task = (struct task_struct *)bpf_get_current_task();
	signal = BPF_CORE_READ(task, signal);
	/* Any process of a container, watched or not. */
	if (BPF_CORE_READ(signal, oom_mm) && died_of_oom(signal))
		count_oom_kill(task);
	if (!mark)
		return 0;
	leader = BPF_CORE_READ(task, group_leader);
	own = *mark;
	/* An exec from another thread keeps number and start time; a reused number does not. The
	   mark: another thread may come here for the same process, and delete it. */
	if (own.start_ns != BPF_CORE_READ(leader, start_boottime) || !is_of(mark, own.start_ns)) {
		bpf_map_delete_elem(&marks, &tgid);
		return 0;
	}
	if (task == leader) {
		mark->leader_code = BPF_CORE_READ(task, exit_code);
		mark->leader = (__u64)task;
	}
	if (BPF_CORE_READ(signal, live.counter) != 0 || !wait_status(mark, leader, signal, &status))
		return 0;
	fill_exited(&record, task, leader, status);
	record.pid = own.pid;
	if (own.slot == EXITSNOOP_SLOT_RESOLVED)
		record_exit(own.trace_id, &record);
	else
		record_followed(mark, &own, &record);
	bpf_map_delete_elem(&marks, &tgid);
	return 0;
}

/* Give the mark of a live process to the slot in `exits`. */
static __always_inline void resolve_mark(__u64 trace_id, const struct exitsnoop_record *record)
{
	__u32 tgid = record->tgid;
	struct exitsnoop_mark *mark = bpf_map_lookup_elem(&marks, &tgid);

	if (mark && mark->trace_id == trace_id && mark->start_ns == record->start_ns)
		*(volatile __u32 *)&mark->slot = EXITSNOOP_SLOT_RESOLVED;
}

/*
 * Run by user space: args[0] trace ID, args[1] the container's PID as the library sees it. From now
 * on the slot in `exits` is that process's. May be run again; user space does so before it ends the
 * follow, which makes up for a store that the other CPU did not see yet.
 */
SEC("raw_tracepoint/exitsnoop_resolve")
int resolve(struct bpf_raw_tracepoint_args *ctx)
{
	__u64 trace_id = ctx->args[0];
	__u32 pid = ctx->args[1];
	struct exitsnoop_followed_key key = { .trace_id = trace_id };
	struct exitsnoop_follow *follow = bpf_map_lookup_elem(&follows, &trace_id);
	struct exitsnoop_record *exit = bpf_map_lookup_elem(&exits, &trace_id);
	struct exitsnoop_record *record, copy;
	__u32 found = 0;

	if (!follow || !exit || !pid)
		return EXITSNOOP_RESOLVE_UNKNOWN;
	/* The last one of that number: an earlier process may have had it before. */
	for (int i = 0; i < EXITSNOOP_FOLLOW_SLOTS; i++) {
		key.slot = i;
		record = bpf_map_lookup_elem(&followed, &key);
		if (!record)
			break;
		if (record->pid == pid)
			found = i + 1;
	}
	key.slot = found - 1;
	record = bpf_map_lookup_elem(&followed, &key);
	if (!found || !record)
		return EXITSNOOP_RESOLVE_UNKNOWN;
	copy = *record;
	follow->resolved = 1;
	/* Before the mark says so no exit comes into this slot, which this would overwrite. */
	if (copy.state != EXITSNOOP_EXITED && exit->state == EXITSNOOP_RESERVED)
		bpf_map_update_elem(&exits, &trace_id, &copy, BPF_EXIST);
	/* Before the look at the record: an exit on another CPU writes the record and then looks
	   at the mark, so one of us sees the other. If both do, they write the same. The record is
	   looked for again, because an update puts a new element in its place. */
	resolve_mark(trace_id, &copy);
	record = bpf_map_lookup_elem(&followed, &key);
	if (!record)
		return EXITSNOOP_RESOLVE_UNKNOWN;
	copy = *record;
	if (copy.state != EXITSNOOP_EXITED)
		return EXITSNOOP_RESOLVE_ALIVE;
	record_exit(trace_id, &copy);
	return EXITSNOOP_RESOLVE_EXITED;
}

/* Write the exit of a process that nobody marked in time: it is dead, but not reaped. */
static __always_inline void record_dead(__u64 trace_id, struct task_struct *leader,
					struct signal_struct *signal, __u32 pid)
{
	struct exitsnoop_record record = {};
	int status = BPF_CORE_READ(leader, exit_code);

	if (BPF_CORE_READ(signal, flags) & SIGNAL_GROUP_EXIT)
		status = BPF_CORE_READ(signal, group_exit_code);
	fill_exited(&record, leader, leader, status);
	record.pid = pid;
	record_exit(trace_id, &record);
}

static __always_inline int attach_process(struct task_struct *leader,
					  const struct exitsnoop_attach *request)
{
	struct signal_struct *signal = BPF_CORE_READ(leader, signal);
	struct exitsnoop_mark mark = { .trace_id = request->trace_id,
				       .slot = EXITSNOOP_SLOT_RESOLVED,
				       .pid = request->pid },
			      *old;
	__u64 trace_id = request->trace_id;
	struct exitsnoop_record record = {}, *slot = bpf_map_lookup_elem(&exits, &trace_id);
	__u32 tgid;

	if (!slot || slot->state != EXITSNOOP_RESERVED)
		return EXITSNOOP_ATTACH_NO_SLOT;
	fill_alive(&record, leader, request->pid);
	mark.start_ns = record.start_ns;
	tgid = record.tgid;
	old = bpf_map_lookup_elem(&marks, &tgid);
	if (old && old->trace_id != trace_id && old->start_ns == mark.start_ns)
		return EXITSNOOP_ATTACH_TAKEN;
	bpf_map_update_elem(&exits, &trace_id, &record, BPF_EXIST);
	if (bpf_map_update_elem(&marks, &tgid, &mark, BPF_ANY))
		return EXITSNOOP_ATTACH_FULL;
	/* If its event has passed already, nobody else writes the record. */
	if (BPF_CORE_READ(signal, live.counter) == 0) {
		record_dead(trace_id, leader, signal, request->pid);
		bpf_map_delete_elem(&marks, &tgid);
	}
	return EXITSNOOP_ATTACH_DONE;
}

/*
 * Walks the tasks of the reader's PID namespace and marks the one that `attach` asks for. The
 * namespace is the reader's own (5.8: the iterator takes it from its reader).
 */
SEC("iter/task")
int attach_task(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;
	struct exitsnoop_attach *request, copy;
	__u32 zero = 0, level, inum;

	if (!task || BPF_CORE_READ(task, pid) != BPF_CORE_READ(task, tgid))
		return 0;
	request = bpf_map_lookup_elem(&attach, &zero);
	if (!request || request->result != EXITSNOOP_ATTACH_NOT_FOUND)
		return 0;
	own_namespace((struct task_struct *)bpf_get_current_task(), &level, &inum);
	if (pid_in_namespace(thread_group_pid(task), level, inum) != request->pid)
		return 0;
	copy = *request;
	request->result = attach_process(task, &copy);
	return 0;
}
