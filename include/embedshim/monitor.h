/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file monitor.h
 * @brief The exit monitor: how processes end that are not our children.
 *
 * A BPF program on sched_process_exit writes the status of every watched process into a pinned
 * map, also while no process of ours runs; a pidfd wakes us. Needs Linux 5.10, BTF, and
 * CAP_SYS_ADMIN (or CAP_BPF, CAP_PERFMON and, for the bpffs, CAP_SYS_ADMIN).
 *
 * A watch is known by its trace ID, which the caller chooses (see idalloc.h) and which must not
 * be used twice. It lasts until es_monitor_forget(), across any number of monitors opened on the
 * same directory one after another.
 */
#ifndef EMBEDSHIM_MONITOR_H
#define EMBEDSHIM_MONITOR_H

#include <embedshim/exit.h>

#ifdef __cplusplus
extern "C" {
#endif

/** An open exit monitor. */
struct es_monitor;

/** Bits of es_monitor_opts.flags. */
enum es_monitor_flags {
	/** Fail with -ENOTSUP instead of warning when the pins will not outlive this service,
	    because its mount namespace is private and no bpffs of the host is visible. */
	ES_MONITOR_REQUIRE_PERSISTENT = 1
};

/** Options of es_monitor_open(). */
struct es_monitor_opts {
	size_t size;	      /**< sizeof(struct es_monitor_opts) */
	const char *root_dir; /**< directory that identifies this monitor; absolute. Required.
				   A bpffs is mounted at `<root_dir>/bpf` unless bpf_dir is set */
	const char *bpf_dir;  /**< directory on a bpffs to pin in instead; NULL: choose */
	uint32_t
		capacity; /**< most processes watched at a time; 0: 10000 (docs/architecture.md
			       says what that costs). Fixed while pins of another size are in use */
	uint32_t flags;	  /**< enum es_monitor_flags */
	struct es_error *error; /**< filled on failure; may be NULL */
};

/**
 * @brief Open the monitor: load the BPF programs, or take over those that are pinned.
 *
 * @param opts      Options; not NULL.
 * @param[out] ret  The monitor; end it with es_monitor_close().
 *
 * @retval 0         Open. es_monitor_warning() tells what is weaker than usual.
 * @retval -EINVAL   An argument is missing, a path is not absolute, or opts->size is too small.
 * @retval -E2BIG    opts has members set that this library does not know.
 * @retval -EBUSY    Another process has the monitor of root_dir open; the text says which.
 * @retval -EPERM    No privilege to use BPF or to mount a bpffs.
 * @retval -ENOTSUP  The kernel lacks something that is needed (BTF, BPF features, pidfd), or the
 *                   pins would not persist and ES_MONITOR_REQUIRE_PERSISTENT is set.
 * @retval -ENOTDIR  bpf_dir is not on a bpffs.
 * @retval -EEXIST   Pins of another capacity are in use by watched processes.
 * @retval -ENOMEM   Out of memory, also for the maps.
 * @retval -EACCES, -EROFS, -ENOSPC, -EIO  From the file system.
 *
 * @par Threads  Any.
 * @par Blocking Loads programs: tens of milliseconds the first time, about one afterwards.
 * @since 0.1
 */
ES_API int es_monitor_open(const struct es_monitor_opts *opts, struct es_monitor **ret);

/**
 * @brief What is weaker than usual on this host, as one line of text; NULL if nothing is.
 * @param monitor  The monitor.
 * @return Owned by the monitor.
 * @par Threads  Any.
 * @par Blocking Never.
 * @since 0.1
 */
ES_API const char *es_monitor_warning(const struct es_monitor *monitor);

/**
 * @brief Watch a running process.
 *
 * A process that has exited but has not been reaped yet is accepted too: its status is taken
 * from the zombie.
 *
 * @param monitor   The monitor.
 * @param trace_id  ID to record the exit under; not 0.
 * @param pid       The process (its thread group) in the caller's PID namespace.
 *
 * @retval 0         Watched. Its exit will come out of es_monitor_next_exit().
 * @retval -EINVAL   monitor is NULL, or trace_id or pid is not positive.
 * @retval -EEXIST   trace_id is in use, or the process is already watched under another ID.
 * @retval -ESRCH    No such process, or it has been reaped meanwhile.
 * @retval -ENOSPC   The capacity is used up.
 * @retval -EMFILE, -ENFILE  No descriptor left for the pidfd.
 * @retval -ENOMEM   Out of memory.
 * @retval -ECHILD   Used after fork().
 *
 * @par Threads  Any.
 * @par Blocking Walks the kernel's task list once: microseconds to a few milliseconds.
 * @since 0.1
 */
ES_API int es_monitor_watch(struct es_monitor *monitor, uint64_t trace_id, int32_t pid);

/**
 * @brief Resume a watch made by an earlier monitor on the same directory.
 *
 * If the process has exited meanwhile, its exit comes out of es_monitor_next_exit() at once.
 *
 * @param monitor   The monitor.
 * @param trace_id  The ID given to es_monitor_watch().
 *
 * @retval 0         Resumed.
 * @retval -EINVAL   monitor is NULL or trace_id is 0.
 * @retval -EEXIST   Already active in this monitor.
 * @retval -ENOENT   No watch of that ID.
 * @retval -EMFILE, -ENFILE  No descriptor left for the pidfd.
 * @retval -ENOMEM   Out of memory.
 * @retval -ECHILD   Used after fork().
 *
 * @par Threads  Any.
 * @par Blocking Never.
 * @since 0.1
 */
ES_API int es_monitor_resume(struct es_monitor *monitor, uint64_t trace_id);

/**
 * @brief A descriptor that polls readable (POLLIN) while es_monitor_next_exit() has something.
 *
 * @param monitor  The monitor.
 * @return The descriptor, non-blocking, owned by the monitor: never read, write or close it.
 *         May be put into epoll, or dup(2)ed for a poller that wants to own one.
 * @retval -EINVAL  monitor is NULL.
 * @par Threads  Any.
 * @par Blocking Never.
 * @since 0.1
 */
ES_API int es_monitor_fd(const struct es_monitor *monitor);

/**
 * @brief Take the next exit that has not been handed out yet.
 *
 * @param monitor   The monitor.
 * @param[out] ret  The exit.
 *
 * @retval 1        One exit was written.
 * @retval 0        None is waiting: poll es_monitor_fd().
 * @retval -EINVAL  An argument is NULL.
 * @retval -ECHILD  Used after fork().
 *
 * @par Threads  Any; each exit goes to one caller. es_monitor_exit() still answers afterwards.
 * @par Blocking Never.
 * @since 0.1
 */
ES_API int es_monitor_next_exit(struct es_monitor *monitor, struct es_exit *ret);

/**
 * @brief Read the exit of one watch, as often as you like until es_monitor_forget().
 *
 * @param monitor   The monitor.
 * @param trace_id  The watch.
 * @param[out] ret  The exit.
 *
 * @retval 0         Written.
 * @retval -EAGAIN   Still running.
 * @retval -ENOENT   No watch of that ID.
 * @retval -EINVAL   An argument is NULL or 0.
 * @retval -ECHILD   Used after fork().
 *
 * @par Threads  Any.
 * @par Blocking Never.
 * @since 0.1
 */
ES_API int es_monitor_exit(struct es_monitor *monitor, uint64_t trace_id, struct es_exit *ret);

/**
 * @brief End a watch and free its room in the map.
 *
 * @param monitor   The monitor.
 * @param trace_id  The watch.
 *
 * @retval 0        Gone; also if there was none.
 * @retval -EINVAL  monitor is NULL or trace_id is 0.
 * @retval -ECHILD  Used after fork().
 *
 * @par Threads  Any.
 * @par Blocking Never.
 * @since 0.1
 */
ES_API int es_monitor_forget(struct es_monitor *monitor, uint64_t trace_id);

/**
 * @brief Close the monitor. Accepts NULL.
 *
 * While watches exist the pins stay and recording goes on. With none left they are removed, and
 * the bpffs is unmounted if the library mounted it.
 *
 * @par Threads  Must be the last call on monitor.
 * @par Blocking Never for long.
 * @since 0.1
 */
ES_API void es_monitor_close(struct es_monitor *monitor);

#ifdef __cplusplus
}
#endif

#endif
