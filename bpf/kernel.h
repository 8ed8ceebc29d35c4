/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The few kernel types and fields the programs read, relocated to the running kernel by CO-RE.
 * Names hold for 5.10 to 6.18 unless a comment says otherwise.
 */
#ifndef KERNEL_H
#define KERNEL_H

typedef unsigned char __u8;
typedef unsigned short __u16;
typedef unsigned int __u32;
typedef unsigned long long __u64;
typedef signed char __s8;
typedef short __s16;
typedef int __s32;
typedef long long __s64;
typedef __u16 __be16;
typedef __u32 __be32;
typedef __u64 __be64;
typedef __u32 __wsum;
typedef _Bool bool;

#define true 1
#define false 0
#define NULL ((void *)0)

/* include/uapi/linux/bpf.h */
enum { BPF_MAP_TYPE_HASH = 1, BPF_MAP_TYPE_ARRAY = 2, BPF_MAP_TYPE_RINGBUF = 27 };
enum { BPF_RB_FORCE_WAKEUP = 2 };
enum { BPF_ANY = 0, BPF_NOEXIST = 1, BPF_EXIST = 2 };
struct bpf_raw_tracepoint_args {
	__u64 args[0];
};

/* include/uapi/asm-generic/signal.h */
#define SIGKILL 9

/* include/linux/sched/signal.h */
#define SIGNAL_GROUP_EXIT 0x00000004

/* include/linux/pid.h */
enum pid_type { PIDTYPE_PID = 0, PIDTYPE_TGID = 1 };

#define CORE __attribute__((preserve_access_index))

typedef struct {
	int counter;
} atomic_t;

struct ns_common {
	unsigned int inum;
} CORE;

struct pid_namespace {
	struct ns_common ns;
} CORE;

struct upid {
	int nr;
	struct pid_namespace *ns;
} CORE;

struct pid {
	unsigned int level;
	struct upid numbers[1];
} CORE;

struct mm_struct;

struct signal_struct {
	atomic_t live;
	int group_exit_code;
	unsigned int flags;
	struct pid *pids[4];
	__u64 utime, stime;
	unsigned long maxrss;
	struct mm_struct *oom_mm;
} CORE;

struct kernfs_node {
	__u64 id;
} CORE;

struct cgroup_root {
	int hierarchy_id; /* 0: the default hierarchy, which is v2 */
} CORE;

struct cgroup;

struct cgroup_subsys_state {
	struct cgroup *cgroup;
	struct cgroup_subsys_state *parent;
} CORE;

struct cgroup {
	struct cgroup_subsys_state self;
	struct kernfs_node *kn;
	struct cgroup_root *root;
} CORE;

struct css_set {
	/* indexed by enum cgroup_subsys_id, whose values depend on the kernel's configuration */
	struct cgroup_subsys_state *subsys[1];
	struct cgroup *dfl_cgrp;
} CORE;

enum cgroup_subsys_id { memory_cgrp_id = 4 };

struct task_struct {
	int exit_code;
	int pid, tgid;
	struct task_struct *group_leader;
	__u64 utime, stime;
	__u64 start_boottime;
	struct signal_struct *signal;
	struct css_set *cgroups;
	char comm[16];
} CORE;

/* 5.8: the context of an iter/task program */
struct seq_file;
struct bpf_iter_meta {
	struct seq_file *seq;
} CORE;

struct bpf_iter__task {
	struct bpf_iter_meta *meta;
	struct task_struct *task;
} CORE;

#endif
