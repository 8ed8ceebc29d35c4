/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file task.h
 * @brief One container: create, start, wait, kill, delete.
 *
 * A task's exit is sticky: it is known once and every caller reads the same record until
 * es_task_delete(). docs/architecture.md has the table of states and transitions.
 */
#ifndef EMBEDSHIM_TASK_H
#define EMBEDSHIM_TASK_H

#include <embedshim/exit.h>

#ifdef __cplusplus
extern "C" {
#endif

struct es_manager;

/** One container. Handles are counted references: end each with es_task_free(). */
struct es_task;

/** State of a task. */
enum es_task_status {
	ES_TASK_CREATED =
		1, /**< the runtime has made the container; the user's process has not begun */
	ES_TASK_RUNNING = 2, /**< the user's process runs */
	ES_TASK_STOPPED = 3, /**< it has exited; the exit can be read */
	ES_TASK_DELETED = 4, /**< es_task_delete() has succeeded; only the handle is left */
	ES_TASK_PAUSED = 5,  /**< all its processes are frozen */
	ES_TASK_PAUSING = 6  /**< es_task_pause() is under way */
};

/** Bits of es_task_opts.flags. */
enum es_task_flags {
	ES_TASK_NO_PIVOT = 1,	    /**< runc create --no-pivot */
	ES_TASK_NO_NEW_KEYRING = 2, /**< runc create --no-new-keyring */
	ES_TASK_SYSTEMD_CGROUP = 4  /**< runc --systemd-cgroup */
};

/** Bits of es_task_state.flags. */
enum es_task_state_flags {
	/** After a restart a file of this task could not be read. The task is kept and can be
	   killed and deleted; what is known of it may be incomplete. */
	ES_TASK_DAMAGED = 1
};

/**
 * Options of es_task_create().
 *
 * Exactly one place for the OCI bundle: bundle_dir (the caller's directory, used as it is), or
 * spec (the store makes the bundle, config.json gets this text), or neither when the caller has
 * made the bundle with es_bundle_create() in the manager's store (es_manager_bundles()).
 *
 * Standard streams: NULL or "" is /dev/null. An absolute path, or "fifo://" and one, is a FIFO,
 * which must exist. Output: it is opened read-write and given to the container as it is, so nobody
 * waits for a reader, or is told that one has gone. "file:///path" is opened for appending (made
 * with mode 0644 if missing, its directories with 0755) and given to the container.
 * "binary:///path?key=value" and "binary-v2:///path?key=value" start that program with the
 * arguments key and value (of each parameter, in their order) as a logger: it reads the output from
 * descriptor 3 and the error from 4, and says that it is ready by closing 5, or in v2 by a byte on
 * it; its environment is CONTAINER_ID and CONTAINER_NAMESPACE. Streams of the same URI share one
 * description, or one logger.
 *
 * A container may share the directory in which a FIFO or a "file://" lies. What it puts in the
 * place of one is not served: a symbolic link there is not followed (-ELOOP), and a file is a
 * regular one, or a character device of the file system at /dev or /dev/pts (otherwise -EINVAL).
 * Links on the way there are followed: a directory above must not be the container's, nor a logger.
 *
 * Standard input is a FIFO that a small process, embedshim-io, holds and moves to the container, so
 * that clients may come and go; the container reads its end after es_task_close_stdin(). It is
 * opened by the start: a client that opens it for writing waits until then. With
 * process.terminal in config.json the same process holds the terminal: its output goes to
 * stdout_path (a FIFO or a logger, no file), stderr_path is not used. It ends with the container's
 * process, and like a logger it outlives the manager.
 */
struct es_task_opts {
	size_t size;		  /**< sizeof(struct es_task_opts) */
	const char *bundle_dir;	  /**< absolute path of an OCI bundle that belongs to the caller */
	const char *spec;	  /**< text of config.json */
	size_t spec_size;	  /**< bytes of spec; 0: spec is NUL-terminated */
	const char *runtime;	  /**< path or name of the OCI runtime; NULL: the manager's */
	const char *runtime_root; /**< parent of the runtime's state, `<this>/<namespace>` is passed
				       as --root; NULL: the manager's */
	const char *stdin_path;	  /**< standard input */
	const char *stdout_path;  /**< standard output */
	const char *stderr_path;  /**< standard error */
	uint32_t flags;		  /**< enum es_task_flags */
	uint32_t runtime_timeout_ms; /**< deadline of one runtime command; 0: the manager's */
	/** Image of es_task_checkpoint() to restore: the task is created without a process, and
	    es_task_start() runs `runc restore`. NULL: none. Absolute */
	const char *restore_path;
	const char *restore_work_path; /**< for criu's files; NULL: the bundle's work directory */
	struct es_error *error;	       /**< filled on failure; may be NULL */
	/** Owner of the FIFOs and pipes that the container is given, so that a user of its own may
	    open /dev/stdout again; both 0: they stay as they are */
	uint32_t io_uid, io_gid;
};

/** What a task is and does, at the moment of the call. */
struct es_task_state {
	uint64_t trace_id; /**< ID of its init process in exit records */
	int32_t pid; /**< of its init process in the caller's PID namespace; kept after the exit */
	uint32_t status;      /**< enum es_task_status */
	uint32_t flags;	      /**< enum es_task_state_flags */
	uint32_t reserved[5]; /**< zero */
};

/**
 * @brief Create a container: `runc create`, with its exit slot reserved before anything runs.
 *
 * When it fails, nothing of it is left: no process, mount, cgroup, file or map entry. A file
 * system that the caller mounted at the bundle's rootfs is unmounted, except under bundle_dir. A
 * bundle that the caller made in the store goes with it unless the call failed before it came to
 * use it: es_bundle_remove() does no harm in either case. If the runtime is wedged so that cleaning
 * up takes longer than its deadline, the call returns and the rest is done behind es_manager_fd();
 * until then the ID is taken.
 *
 * @param manager     The manager.
 * @param namespace_  Namespace; see es_identifier_check().
 * @param id          Task ID; see es_identifier_check().
 * @param opts        Options; not NULL.
 * @param[out] ret    A new reference to the task.
 *
 * @retval 0              Created.
 * @retval -EINVAL        An argument is NULL, an identifier or a stream is not valid, more than one
 *                        bundle is given, or config.json is broken; the text says which.
 * @retval -ENAMETOOLONG  An identifier is longer than ES_ID_MAX, or a path is too long.
 * @retval -E2BIG         opts has members set that this library does not know.
 * @retval -EEXIST        A task of that ID exists in the namespace, or is being cleaned up.
 * @retval -ENOENT        The bundle, its config.json, the runtime's program, a FIFO, a logger or
 *                        embedshim-io does not exist; the text says which.
 * @retval -EACCES        One of them is not readable or not executable.
 * @retval -ELOOP         A stream is a symbolic link.
 * @retval -ENOTSUP       A stream of another scheme, or a terminal whose output is a file.
 * @retval -EPIPE         embedshim-io died meanwhile.
 * @retval -ENOSPC        The capacity of the monitor is used up, or the disk is full.
 * @retval -EIO           The runtime failed; opts->error has its message and its exit code. Or a
 *                        logger ended without becoming ready.
 * @retval -ETIMEDOUT     The runtime did not finish within its deadline and was killed, or a logger
 *                        was not ready by then.
 * @retval -EMFILE, -ENFILE, -ENOMEM, -EAGAIN  Out of descriptors, memory or processes.
 * @retval -EROFS, -EDQUOT, -EPERM  From the file system or for lack of privilege.
 * @retval -ESHUTDOWN     The manager has been closed.
 * @retval -ECHILD        Used after fork().
 *
 * @par Threads  Any. Different tasks do not wait for each other.
 * @par Blocking For the runtime command, at most runtime_timeout_ms (and as long again to clean
 * up).
 * @since 0.1
 */
ES_API int es_task_create(struct es_manager *manager, const char *namespace_, const char *id,
			  const struct es_task_opts *opts, struct es_task **ret);

/**
 * @brief Start the user's process: `runc start`, or `runc restore` of a task with a restore_path.
 *
 * @param task   The task.
 * @param error  Filled on failure; may be NULL.
 *
 * @retval 0           Started. It may have exited already.
 * @retval -EINVAL     task is NULL, or the standard input is no FIFO any more.
 * @retval -ELOOP      It is a symbolic link now.
 * @retval -EBUSY      Not in the state "created".
 * @retval -EIO        The runtime failed (a missing program, for example); error has its message.
 * @retval -ENOENT, -EACCES  The runtime's program is missing or not executable, or the standard
 *                     input's FIFO is gone.
 * @retval -ETIMEDOUT  The runtime did not finish within its deadline and was killed.
 * @retval -EMFILE, -ENFILE, -ENOMEM, -EAGAIN  Out of descriptors, memory or processes.
 * @retval -ESHUTDOWN  The manager has been closed.
 * @retval -ECHILD     Used after fork().
 *
 * @par Threads  Any.
 * @par Blocking For the runtime command, at most its deadline.
 * @since 0.1
 */
ES_API int es_task_start(struct es_task *task, struct es_error *error);

/**
 * @brief Tell what the task is doing. Runs no process, takes no lock that is held over one.
 *
 * @param task      The task.
 * @param[out] ret  The state.
 *
 * @retval 0        Written.
 * @retval -EINVAL  An argument is NULL.
 * @retval -ECHILD  Used after fork().
 *
 * @par Threads  Any.
 * @par Blocking Never.
 * @since 0.1
 */
ES_API int es_task_state(struct es_task *task, struct es_task_state *ret);

/**
 * @brief Wait until the task's init process has exited.
 *
 * Init's exit is the last of its container: it is known once every exec that was running has ended
 * too, and, when the container has no PID namespace of its own, once what is left in its cgroup
 * has been killed.
 *
 * The answer stays available until es_task_delete(); every caller that waits, before or after the
 * exit, gets the same. A lost status is a success with source ES_EXIT_LOST and code -1.
 *
 * @param task        The task.
 * @param timeout_ms  Milliseconds on CLOCK_MONOTONIC; -1: no limit, 0: only look.
 * @param[out] ret    The exit. May be NULL.
 *
 * @retval 0           It has exited.
 * @retval -ETIMEDOUT  Still running after timeout_ms.
 * @retval -EINVAL     task is NULL or timeout_ms < -1.
 * @retval -ESHUTDOWN  The manager was closed before the exit was known.
 * @retval -ECHILD     Used after fork().
 *
 * @par Threads  Any number, also beside every other call. No lock is held while blocked.
 * @par Blocking Up to timeout_ms; a signal does not shorten it. Event loops use es_manager_fd().
 * @since 0.1
 */
ES_API int es_task_wait(struct es_task *task, int timeout_ms, struct es_exit *ret);

/**
 * @brief Send a signal to the task's init process through its pidfd.
 *
 * SIGKILL also ends a paused task: on cgroup v1 it is thawed for that.
 *
 * @param task    The task.
 * @param signal  1..64.
 *
 * @retval 0        Sent.
 * @retval -EINVAL  task is NULL or signal is out of range.
 * @retval -ESRCH   It has exited.
 * @retval -EPERM   No privilege.
 * @retval -ECHILD  Used after fork().
 *
 * @par Threads  Any.
 * @par Blocking Never.
 * @since 0.1
 */
ES_API int es_task_kill(struct es_task *task, int signal);

/**
 * @brief Delete a stopped or merely created task: `runc delete`, unmount, remove its bundle.
 *
 * A created task's init process is killed first. What embedshim-io and loggers still have to write
 * gets 10 s; then they are ended, a logger by SIGTERM and 12 s later by SIGKILL. On failure the
 * task stays listed and the call can be repeated.
 *
 * @param task      The task. The handle stays and must be freed.
 * @param[out] ret  How it ended. May be NULL.
 * @param error     Filled on failure; may be NULL.
 *
 * @retval 0           Deleted.
 * @retval -EINVAL     task is NULL.
 * @retval -EBUSY      Running or paused, or a mount in the bundle cannot be removed.
 * @retval -ENOENT     Already deleted.
 * @retval -EIO        The runtime failed; error has its message.
 * @retval -ETIMEDOUT  The runtime did not finish within its deadline and was killed.
 * @retval -EACCES, -EMFILE, -ENFILE, -ENOMEM, -EAGAIN, -EPERM, -EROFS  As es_task_start(), and
 *                     from the file system.
 * @retval -ESHUTDOWN  The manager has been closed.
 * @retval -ECHILD     Used after fork().
 *
 * @par Threads  Any. Of several at once one succeeds.
 * @par Blocking For other calls that change the task, for the runtime command, at most its
 * deadline, and for what serves the streams, as said above.
 * @since 0.1
 */
ES_API int es_task_delete(struct es_task *task, struct es_exit *ret, struct es_error *error);

/**
 * @brief Freeze all processes of the container: `runc pause`.
 *
 * @param task   The task.
 * @param error  Filled on failure; may be NULL.
 *
 * @retval 0            Paused.
 * @retval -EINVAL      task is NULL.
 * @retval -EBUSY       Not running.
 * @retval -EIO         The runtime failed; error has its message.
 * @retval -ENOENT, -EACCES  The runtime's program is missing or not executable.
 * @retval -ETIMEDOUT   The runtime did not finish within its deadline and was killed.
 * @retval -EMFILE, -ENFILE, -ENOMEM, -EAGAIN  Out of descriptors, memory or processes.
 * @retval -ESHUTDOWN   The manager has been closed.
 * @retval -ECHILD      Used after fork().
 *
 * @par Threads  Any. es_task_state() tells ES_TASK_PAUSING meanwhile.
 * @par Blocking For other calls that change the task and for the runtime command, at most its
 *               deadline.
 * @since 0.1
 */
ES_API int es_task_pause(struct es_task *task, struct es_error *error);

/**
 * @brief Let a paused container go on: `runc resume`.
 *
 * @param task   The task.
 * @param error  Filled on failure; may be NULL.
 *
 * @retval 0            Running again.
 * @retval -EINVAL      task is NULL.
 * @retval -EBUSY       Not paused.
 * @retval -EIO         The runtime failed; error has its message.
 * @retval -ENOENT, -EACCES  The runtime's program is missing or not executable.
 * @retval -ETIMEDOUT   The runtime did not finish within its deadline and was killed.
 * @retval -EMFILE, -ENFILE, -ENOMEM, -EAGAIN  Out of descriptors, memory or processes.
 * @retval -ESHUTDOWN   The manager has been closed.
 * @retval -ECHILD      Used after fork().
 *
 * @par Threads  Any.
 * @par Blocking As es_task_pause().
 * @since 0.1
 */
ES_API int es_task_resume(struct es_task *task, struct es_error *error);

/**
 * @brief Change the container's resource limits: `runc update`.
 *
 * @param task       The task: created, running or paused.
 * @param resources  JSON text of an OCI linux.resources object.
 * @param size       Its length in bytes; 0: it is NUL-terminated.
 * @param error      Filled on failure; may be NULL.
 *
 * @retval 0            Changed.
 * @retval -EINVAL      task or resources is NULL, or resources is not a JSON object.
 * @retval -EBUSY       The task has stopped.
 * @retval -EIO         The runtime failed; error has its message.
 * @retval -ENOENT, -EACCES  The runtime's program is missing or not executable.
 * @retval -ETIMEDOUT   The runtime did not finish within its deadline and was killed.
 * @retval -EMFILE, -ENFILE, -ENOMEM, -EAGAIN  Out of descriptors, memory or processes.
 * @retval -ESHUTDOWN   The manager has been closed.
 * @retval -ECHILD      Used after fork().
 *
 * @par Threads  Any.
 * @par Blocking As es_task_pause().
 * @since 0.1
 */
ES_API int es_task_update(struct es_task *task, const char *resources, size_t size,
			  struct es_error *error);

/**
 * @brief List the processes of the container: all in its cgroup and in cgroups below it.
 *
 * Reads the kernel's lists; runs no process.
 *
 * @param task      The task.
 * @param[out] ret  malloc()ed array of PIDs in the caller's PID namespace; free(3) it. A process
 *                  that is not visible there is left out.
 *
 * @retval >=0      Number of PIDs.
 * @retval -EINVAL  An argument is NULL.
 * @retval -ENOENT  The cgroup is gone, or the container has none of its own.
 * @retval -ENOMEM, -EMFILE, -ENFILE, -EACCES  Out of resources, or from the file system.
 * @retval -ECHILD  Used after fork().
 *
 * @par Threads  Any.
 * @par Blocking Never for long.
 * @since 0.1
 */
ES_API int es_task_pids(struct es_task *task, int32_t **ret);

/**
 * @brief Send a signal to every process of the container.
 *
 * SIGKILL is repeated until nothing is left, so that what is forked meanwhile is reached too.
 *
 * @param task    The task.
 * @param signal  1..64.
 *
 * @retval >=0      Number of processes that it was sent to; 0: none is left.
 * @retval -EINVAL  task is NULL or signal is out of range.
 * @retval -ENOENT  The container has no cgroup of its own.
 * @retval -EBUSY   New processes appear faster than they can be killed.
 * @retval -EPERM, -ENOMEM, -EMFILE, -ENFILE, -EACCES  Out of resources, or no privilege.
 * @retval -ECHILD  Used after fork().
 *
 * @par Threads  Any.
 * @par Blocking Never for long.
 * @since 0.1
 */
ES_API int es_task_kill_all(struct es_task *task, int signal);

/**
 * @brief The container's cgroups as /proc/<init>/cgroup told them when it was created.
 *
 * @param task  The task.
 * @return Text of that format (cgroups(7)), owned by the handle; NULL for a NULL task, or if it was
 *         never known.
 * @par Threads  Any.
 * @par Blocking Never.
 * @since 0.1
 */
ES_API const char *es_task_cgroups(const struct es_task *task);

/**
 * @brief The task's ID. Owned by the handle; NULL for a NULL task.
 * @par Threads  Any.
 * @par Blocking Never.
 * @since 0.1
 */
ES_API const char *es_task_id(const struct es_task *task);

/**
 * @brief The task's namespace. Owned by the handle; NULL for a NULL task.
 * @par Threads  Any.
 * @par Blocking Never.
 * @since 0.1
 */
ES_API const char *es_task_namespace(const struct es_task *task);

/**
 * @brief The OCI bundle the runtime works on. Owned by the handle; NULL for a NULL task.
 * @par Threads  Any.
 * @par Blocking Never.
 * @since 0.1
 */
ES_API const char *es_task_bundle_dir(const struct es_task *task);

/**
 * @brief What a standard stream was created with. Owned by the handle.
 *
 * @param task    The task.
 * @param stream  0 standard input, 1 output, 2 error.
 * @return The path or URI; NULL for a null stream, a NULL task or another number.
 * @par Threads  Any.
 * @par Blocking Never.
 * @since 0.1
 */
ES_API const char *es_task_stream(const struct es_task *task, int stream);

/**
 * @brief Set the size of the task's terminal; its foreground processes get SIGWINCH.
 *
 * @param task     The task.
 * @param columns  Width in characters, 0 to 65535.
 * @param rows     Height in lines, 0 to 65535.
 *
 * @retval 0           Set.
 * @retval -EINVAL     task is NULL, or a number is out of range.
 * @retval -ENOTTY     It has no terminal.
 * @retval -EBUSY      It is to be restored and was not started.
 * @retval -ESRCH      It has exited.
 * @retval -EPIPE      embedshim-io, which held the terminal, has died: the terminal is gone.
 * @retval -ETIMEDOUT  embedshim-io does not answer (it is frozen, for example).
 * @retval -EMFILE, -ENFILE, -ENOMEM  Out of descriptors or memory.
 * @retval -ESHUTDOWN  The manager has been closed.
 * @retval -ECHILD     Used after fork().
 *
 * @par Threads  Any.
 * @par Blocking Until embedshim-io has answered: at once, at most 5 s.
 * @since 0.1
 */
ES_API int es_task_resize(struct es_task *task, uint32_t columns, uint32_t rows);

/**
 * @brief End the task's standard input: the library's own hold on the FIFO is given up.
 *
 * The process reads the end of the file once the FIFO has no other writer and what was written is
 * read. A terminal reads no end: its clients send ^D. Closing again, or where there is no standard
 * input, does nothing.
 *
 * @param task  The task.
 *
 * @retval 0           Closed, there is none, or the process has exited.
 * @retval -EINVAL     task is NULL.
 * @retval -EBUSY      It is to be restored and was not started.
 * @retval -EPIPE      embedshim-io, which held the input, has died: the process has read the end.
 * @retval -ETIMEDOUT  embedshim-io does not answer (it is frozen, for example).
 * @retval -EMFILE, -ENFILE, -ENOMEM  Out of descriptors or memory.
 * @retval -ESHUTDOWN  The manager has been closed.
 * @retval -ECHILD     Used after fork().
 *
 * @par Threads  Any.
 * @par Blocking Until embedshim-io has answered: at once, at most 5 s.
 * @since 0.1
 */
ES_API int es_task_close_stdin(struct es_task *task);

/**
 * @brief Whether the task has a terminal: process.terminal of its config.json.
 * @param task  The task.
 * @return 1 or 0; 0 for a NULL task.
 * @par Threads  Any.
 * @par Blocking Never.
 * @since 0.1
 */
ES_API int es_task_has_terminal(const struct es_task *task);

/**
 * @brief Give back one reference. Accepts NULL. The task itself goes on.
 * @par Threads  Must be the last call on this reference.
 * @par Blocking Never.
 * @since 0.1
 */
ES_API void es_task_free(struct es_task *task);

#ifdef __cplusplus
}
#endif

#endif
