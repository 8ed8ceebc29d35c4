/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file exit.h
 * @brief How a process ended.
 */
#ifndef EMBEDSHIM_EXIT_H
#define EMBEDSHIM_EXIT_H

#include <embedshim/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Where the knowledge about an exit comes from. */
enum es_exit_source {
	ES_EXIT_BPF = 1, /**< recorded by the BPF program in the kernel at the moment of the exit */
	ES_EXIT_WAIT =
		2,	 /**< told to us by waitid(2) or by PIDFD_GET_INFO (Linux 6.15) afterwards;
			      times other than the start are those of our reading, and PIDFD_GET_INFO
			      may miss ES_EXIT_CORE when a thread other than the first dumped core */
	ES_EXIT_LOST = 3 /**< the process is gone and nobody knows how: status and code are -1 */
};

/** Bits of es_exit.flags. */
enum es_exit_flags {
	ES_EXIT_CORE = 1, /**< the kernel dumped core (0x80 in the wait status) */
	ES_EXIT_OOM =
		2 /**< this very process was chosen by the OOM killer; not merely its cgroup */
};

/**
 * The record of one exit. Fixed size. Times are nanoseconds; *_boot_ns on CLOCK_BOOTTIME,
 * *_real_ns on CLOCK_REALTIME (derived from the former when the record is first read).
 * A value that is not known is 0, except status and code, which are then -1.
 */
struct es_exit {
	uint64_t trace_id;	  /**< the ID the process was watched under */
	uint64_t started_boot_ns; /**< when the process was forked */
	uint64_t started_real_ns; /**< the same on the wall clock */
	uint64_t exited_boot_ns;  /**< when its last thread exited; 0 if lost */
	uint64_t exited_real_ns;  /**< the same on the wall clock */
	uint64_t peak_rss_bytes;  /**< high-water mark of the resident set (signal_struct.maxrss) */
	uint64_t user_ns; /**< CPU time in user mode; tick-based on most kernels, not for billing */
	uint64_t system_ns; /**< CPU time in the kernel; same caveat */
	uint64_t cgroup_id; /**< inode of the cgroup at exit: v2, or v1's memory hierarchy */
	int32_t pid;	    /**< in the PID namespace of the caller; 0 if unknown */
	int32_t status;	    /**< raw wait status as waitpid(2) gives it; -1 if lost */
	int32_t code;	 /**< 0..255: exit code, or 128 + signal (containerd's rule); -1 if lost */
	int32_t signal;	 /**< terminating signal; 0 if it exited or is lost */
	uint32_t source; /**< enum es_exit_source; never 0 in a filled record */
	uint32_t flags;	 /**< enum es_exit_flags */
	char comm[16];	 /**< name of the thread group leader at exit, NUL-terminated */
	uint64_t reserved[4]; /**< zero */
};

/**
 * @brief Name of an exit source: "bpf", "wait", "lost"; "unknown" for any other value.
 *
 * @param source  enum es_exit_source.
 * @return Static string; never NULL, never freed.
 * @par Threads  Any.
 * @par Blocking Never.
 * @since 0.1
 */
ES_API const char *es_exit_source_name(uint32_t source);

#ifdef __cplusplus
}
#endif

#endif
