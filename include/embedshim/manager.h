/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file manager.h
 * @brief The root handle: opens a pair of directories and brings every task in them back.
 */
#ifndef EMBEDSHIM_MANAGER_H
#define EMBEDSHIM_MANAGER_H

#include <embedshim/bundle.h>
#include <embedshim/exec.h>
#include <embedshim/task.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Bits of es_manager_opts.flags. */
enum es_manager_flags {
	/** See ES_MONITOR_REQUIRE_PERSISTENT. */
	ES_MANAGER_REQUIRE_PERSISTENT = 1
};

/** Options of es_manager_open(). */
struct es_manager_opts {
	size_t size; /**< sizeof(struct es_manager_opts) */
	const char
		*root_dir; /**< persistent: trace IDs, work directories, pins. Absolute. Required */
	const char *state_dir; /**< bundles; normally on a tmpfs. Absolute. Required */
	const char *bpf_dir;   /**< directory on a bpffs to pin in; NULL: choose (monitor.h) */
	const char *runtime;   /**< path or name of the OCI runtime; NULL: "runc" */
	const char
		*runtime_root; /**< parent of the runtime's state; NULL: `<state_dir>/.runtime` */
	uint32_t capacity;     /**< most tasks at a time; 0: 10000 */
	uint32_t runtime_timeout_ms; /**< deadline of one runtime command; 0: 120000 */
	uint32_t flags;		     /**< enum es_manager_flags */
	uint32_t reserved;	     /**< zero */
	struct es_error *error;	     /**< filled on failure; may be NULL */
	/** path of embedshim-io, which holds terminals and standard inputs; NULL: the one that was
	    installed with the library */
	const char *io_helper;
};

/**
 * @brief Open a root and a state directory and reload every task in them.
 *
 * After a restart each task has its true state; exits that happened meanwhile carry the kernel's
 * time and come out of es_manager_next_event(). No process is started for a task in a settled
 * state. What a crash left half made is cleaned up behind es_manager_fd(). After a reboot every
 * task whose exit was not known before is stopped with an exit that says lost.
 *
 * @param opts      Options; not NULL.
 * @param[out] ret  The manager; end it with es_manager_close().
 *
 * @retval 0         Open. es_manager_warning() tells what is weaker than usual.
 * @retval -EINVAL   A required member is missing, a path is not absolute, or opts->size is too
 * small.
 * @retval -E2BIG    opts has members set that this library does not know.
 * @retval -EBUSY    Another process manages this root; the text says which.
 * @retval -EPERM    No privilege to use BPF or to mount a bpffs.
 * @retval -ENOTSUP  The kernel lacks something that is needed, or the pins would not persist and
 *                   ES_MANAGER_REQUIRE_PERSISTENT is set.
 * @retval -ENOTDIR  bpf_dir is not on a bpffs.
 * @retval -EEXIST   Tasks exist under another capacity.
 * @retval -EBADMSG  The trace-ID database is damaged; the text says what to do.
 * @retval -ENAMETOOLONG  A path leaves no room for the files of a task.
 * @retval -EACCES, -EROFS, -ENOSPC, -EDQUOT, -EIO, -EMFILE, -ENFILE, -ENOMEM
 *                   From the file system, or out of resources.
 *
 * @par Threads  Any.
 * @par Blocking File system I/O; never for an OCI runtime.
 * @since 0.1
 */
ES_API int es_manager_open(const struct es_manager_opts *opts, struct es_manager **ret);

/**
 * @brief What is weaker than usual on this host, as one line of text; NULL if nothing is.
 * @param manager  The manager.
 * @return Owned by the manager.
 * @par Threads  Any.
 * @par Blocking Never.
 * @since 0.1
 */
ES_API const char *es_manager_warning(const struct es_manager *manager);

/**
 * @brief The manager's bundle store, for callers that mount a root file system before
 *        es_task_create(). Owned by the manager; NULL for a NULL manager.
 * @par Threads  Any.
 * @par Blocking Never.
 * @since 0.1
 */
ES_API struct es_bundle_store *es_manager_bundles(struct es_manager *manager);

/**
 * @brief A descriptor that polls readable (POLLIN) while es_manager_next_event() has work.
 *
 * @param manager  The manager.
 * @return The descriptor, non-blocking, owned by the manager: never read, write or close it.
 *         May be put into epoll, or dup(2)ed for a poller that wants to own one.
 * @retval -EINVAL  manager is NULL.
 * @par Threads  Any.
 * @par Blocking Never.
 * @since 0.1
 */
ES_API int es_manager_fd(const struct es_manager *manager);

/** What an event tells. */
enum es_event_type {
	ES_EVENT_EXIT = 1,	/**< a task's init process has exited */
	ES_EVENT_EXEC_EXIT = 2, /**< an exec's process has exited */
	ES_EVENT_OOM = 3 /**< a process of the container, in its cgroup or below, was killed for
			      memory */
};

/** One event. */
struct es_event {
	uint32_t type;	      /**< enum es_event_type */
	uint32_t reserved;    /**< zero */
	struct es_task *task; /**< the task; a reference that es_event_clear() gives back */
	struct es_exec *exec; /**< the exec of ES_EVENT_EXEC_EXIT, likewise; NULL otherwise */
	struct es_exit exit;  /**< how it ended; zero for ES_EVENT_OOM */
};

/**
 * @brief Take the next event that has not been handed out yet.
 *
 * Call it whenever es_manager_fd() polls readable, until it returns 0. It also drives the
 * clean-up of what a crash or a wedged runtime left behind. Each exit is handed out once per
 * manager; es_task_wait() and es_exec_wait() answer all the same. The exit of what is deleted first
 * is not handed out. After a restart the exits of what has stopped are handed out again. An exit
 * comes after the OOM events of its container that preceded it, and init's after those of its
 * execs. Kills in quick succession may be one OOM event; none is missed or told again across a
 * restart.
 *
 * @param manager   The manager.
 * @param[out] ret  The event; end it with es_event_clear().
 *
 * @retval 1           One event was written.
 * @retval 0           None is waiting.
 * @retval -EINVAL     An argument is NULL.
 * @retval -ENOMEM     Out of memory; nothing is lost, call again.
 * @retval -ESHUTDOWN  The manager has been closed.
 * @retval -ECHILD     Used after fork().
 *
 * @par Threads  Any; each event goes to one caller.
 * @par Blocking Never for long.
 * @since 0.1
 */
ES_API int es_manager_next_event(struct es_manager *manager, struct es_event *ret);

/**
 * @brief Give back the references of an event. Accepts NULL.
 *
 * A caller that keeps one sets the member to NULL.
 * @par Threads  Any.
 * @par Blocking Never.
 * @since 0.1
 */
ES_API void es_event_clear(struct es_event *event);

/**
 * @brief Wait until nothing is left to clean up.
 *
 * Drives the clean-up that es_manager_next_event() otherwise drives; events stay queued.
 *
 * @param manager     The manager.
 * @param timeout_ms  Milliseconds on CLOCK_MONOTONIC; -1: no limit, 0: only look.
 *
 * @retval 0           Nothing is left.
 * @retval -ETIMEDOUT  Something still is.
 * @retval -EINVAL     manager is NULL or timeout_ms < -1.
 * @retval -ESHUTDOWN  The manager has been closed.
 * @retval -ECHILD     Used after fork().
 *
 * @par Threads  Any.
 * @par Blocking Up to timeout_ms.
 * @since 0.1
 */
ES_API int es_manager_settle(struct es_manager *manager, int timeout_ms);

/**
 * @brief List tasks.
 *
 * @param manager        The manager.
 * @param namespace_     Only this namespace; NULL: all.
 * @param[out] ret_list  Array of new references, ended by NULL; give it to es_task_list_free().
 *
 * @retval >=0         Number of tasks.
 * @retval -EINVAL     manager or ret_list is NULL.
 * @retval -ENOMEM     Out of memory.
 * @retval -ESHUTDOWN  The manager has been closed.
 * @retval -ECHILD     Used after fork().
 *
 * @par Threads  Any.
 * @par Blocking Never.
 * @since 0.1
 */
ES_API int es_manager_list(struct es_manager *manager, const char *namespace_,
			   struct es_task ***ret_list);

/**
 * @brief Free an array from es_manager_list() with all its references. Accepts NULL.
 *
 * A caller that keeps the references sets the first entry to NULL: then only the array is freed.
 * @par Threads  Must be the last use of the array.
 * @par Blocking Never.
 * @since 0.1
 */
ES_API void es_task_list_free(struct es_task **list);

/**
 * @brief Find a task.
 *
 * @param manager     The manager.
 * @param namespace_  Its namespace.
 * @param id          Its ID.
 * @param[out] ret    A new reference; end it with es_task_free().
 *
 * @retval 0           Found.
 * @retval -EINVAL     An argument is NULL.
 * @retval -ENOENT     No such task.
 * @retval -ESHUTDOWN  The manager has been closed.
 * @retval -ECHILD     Used after fork().
 *
 * @par Threads  Any.
 * @par Blocking Never.
 * @since 0.1
 */
ES_API int es_manager_get(struct es_manager *manager, const char *namespace_, const char *id,
			  struct es_task **ret);

/**
 * @brief Close the manager. Accepts NULL. Containers go on, and so does the recording of exits.
 *
 * With no task left the pins are removed and the bpffs is unmounted if the library mounted it.
 * es_task_wait() in other threads returns -ESHUTDOWN; task handles stay valid until they are
 * freed, but only read what is already known.
 *
 * @par Threads  Must be the last call on manager.
 * @par Blocking Never for long: calls that run a runtime command in other threads finish by
 *               themselves, and the root stays locked until the last of them has.
 * @since 0.1
 */
ES_API void es_manager_close(struct es_manager *manager);

#ifdef __cplusplus
}
#endif

#endif
