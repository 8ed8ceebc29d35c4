/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file exec.h
 * @brief Additional processes in a running container.
 *
 * An exec is added, started, waited for and deleted like a task, and like a task it comes back
 * after a restart with its state, its exit and its streams. Its exit is known before init's.
 */
#ifndef EMBEDSHIM_EXEC_H
#define EMBEDSHIM_EXEC_H

#include <embedshim/task.h>

#ifdef __cplusplus
extern "C" {
#endif

/** One additional process. Handles are counted references: end each with es_exec_free(). */
struct es_exec;

/** Options of es_exec_create(). Standard streams as those of es_task_opts. */
struct es_exec_opts {
	size_t size;		 /**< sizeof(struct es_exec_opts) */
	const char *process;	 /**< JSON text of an OCI process object. Required */
	size_t process_size;	 /**< bytes of process; 0: it is NUL-terminated */
	const char *stdin_path;	 /**< standard input */
	const char *stdout_path; /**< standard output */
	const char *stderr_path; /**< standard error */
	struct es_error *error;	 /**< filled on failure; may be NULL */
	uint32_t io_uid, io_gid; /**< as those of es_task_opts */
};

/** What an exec is and does, at the moment of the call. */
struct es_exec_state {
	uint64_t trace_id;    /**< of its process in exit records; 0 before it was started */
	int32_t pid;	      /**< in the caller's PID namespace; 0 before it was started */
	uint32_t status;      /**< enum es_task_status: CREATED, RUNNING, STOPPED or DELETED */
	uint32_t reserved[4]; /**< zero */
};

/**
 * @brief Add an exec to a created or running task. Nothing runs yet.
 *
 * @param task      The task.
 * @param id        Exec ID, unique in the task; see es_identifier_check().
 * @param opts      Options; not NULL.
 * @param[out] ret  A new reference to the exec.
 *
 * @retval 0              Added.
 * @retval -EINVAL        An argument is NULL, the ID is not valid, or process is not a JSON object.
 * @retval -ENAMETOOLONG  The ID is longer than ES_ID_MAX.
 * @retval -E2BIG         opts has members set that this library does not know.
 * @retval -EEXIST        The task has an exec of that ID.
 * @retval -EBUSY         The task is paused or has stopped.
 * @retval -ENOENT        The task has been deleted.
 * @retval -ENOMEM, -EMFILE, -ENFILE, -ENOSPC, -EROFS, -EDQUOT, -EIO  Out of resources, or from the
 *                        file system.
 * @retval -ESHUTDOWN     The manager has been closed.
 * @retval -ECHILD        Used after fork().
 *
 * @par Threads  Any.
 * @par Blocking File system I/O.
 * @since 0.1
 */
ES_API int es_exec_create(struct es_task *task, const char *id, const struct es_exec_opts *opts,
			  struct es_exec **ret);

/**
 * @brief Start its process: `runc exec --detach`, with its exit slot reserved before.
 *
 * @param exec   The exec.
 * @param error  Filled on failure; may be NULL.
 *
 * @retval 0           Started. It may have exited already.
 * @retval -EINVAL     exec is NULL, or a stream is not valid.
 * @retval -EBUSY      Not in the state "created", or the task's init process is not running.
 * @retval -EIO        The runtime failed (a missing program, for example); error has its message.
 *                     The exec stays created.
 * @retval -ENOENT, -EACCES  The runtime's program, a FIFO or a directory is missing or not
 *                     accessible.
 * @retval -ELOOP      A stream is a symbolic link.
 * @retval -ENOTSUP    A stream of another scheme, or a terminal whose output is a file.
 * @retval -EPIPE      embedshim-io died meanwhile.
 * @retval -ENOSPC     The capacity of the monitor is used up, or the disk is full.
 * @retval -ETIMEDOUT  The runtime did not finish within its deadline and was killed.
 * @retval -EMFILE, -ENFILE, -ENOMEM, -EAGAIN  Out of descriptors, memory or processes.
 * @retval -ESHUTDOWN  The manager has been closed.
 * @retval -ECHILD     Used after fork().
 *
 * @par Threads  Any. Execs of one task start side by side.
 * @par Blocking For the runtime command, at most its deadline.
 * @since 0.1
 */
ES_API int es_exec_start(struct es_exec *exec, struct es_error *error);

/**
 * @brief Tell what the exec is doing. Runs no process, waits for none.
 *
 * @param exec      The exec.
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
ES_API int es_exec_state(struct es_exec *exec, struct es_exec_state *ret);

/**
 * @brief Wait until the exec's process has exited. Any number of callers get the same answer.
 *
 * @param exec        The exec.
 * @param timeout_ms  Milliseconds on CLOCK_MONOTONIC; -1: no limit, 0: only look.
 * @param[out] ret    The exit. May be NULL.
 *
 * @retval 0           It has exited.
 * @retval -ETIMEDOUT  Not exited after timeout_ms.
 * @retval -EBUSY      It has not been started.
 * @retval -EINVAL     exec is NULL or timeout_ms < -1.
 * @retval -ESHUTDOWN  The manager was closed before the exit was known.
 * @retval -ECHILD     Used after fork().
 *
 * @par Threads  Any number, also beside every other call.
 * @par Blocking Up to timeout_ms. Event loops use es_manager_fd().
 * @since 0.1
 */
ES_API int es_exec_wait(struct es_exec *exec, int timeout_ms, struct es_exit *ret);

/**
 * @brief Send a signal to the exec's process through its pidfd.
 *
 * @param exec    The exec.
 * @param signal  1..64.
 *
 * @retval 0        Sent.
 * @retval -EINVAL  exec is NULL or signal is out of range.
 * @retval -EBUSY   It has not been started.
 * @retval -ESRCH   It has exited.
 * @retval -EPERM   No privilege.
 * @retval -ECHILD  Used after fork().
 *
 * @par Threads  Any.
 * @par Blocking Never.
 * @since 0.1
 */
ES_API int es_exec_kill(struct es_exec *exec, int signal);

/**
 * @brief Delete an exec that has stopped or was never started; its ID can be used again.
 *
 * Waits for what serves its streams as es_task_delete() does.
 *
 * @param exec      The exec. The handle stays and must be freed.
 * @param[out] ret  How it ended; source 0 if it was never started. May be NULL.
 * @param error     Filled on failure; may be NULL.
 *
 * @retval 0           Deleted.
 * @retval -EINVAL     exec is NULL.
 * @retval -EBUSY      Running, or being started.
 * @retval -ENOENT     Already deleted.
 * @retval -EACCES, -EPERM, -EROFS, -EIO  From the file system.
 * @retval -ESHUTDOWN  The manager has been closed.
 * @retval -ECHILD     Used after fork().
 *
 * @par Threads  Any. Of several at once one succeeds.
 * @par Blocking File system I/O, and for what serves its streams: normally at once.
 * @since 0.1
 */
ES_API int es_exec_delete(struct es_exec *exec, struct es_exit *ret, struct es_error *error);

/**
 * @brief Find an exec of a task.
 *
 * @param task      The task.
 * @param id        Exec ID.
 * @param[out] ret  A new reference; end it with es_exec_free().
 *
 * @retval 0        Found.
 * @retval -EINVAL  An argument is NULL.
 * @retval -ENOENT  No such exec.
 * @retval -ECHILD  Used after fork().
 *
 * @par Threads  Any.
 * @par Blocking Never.
 * @since 0.1
 */
ES_API int es_task_get_exec(struct es_task *task, const char *id, struct es_exec **ret);

/**
 * @brief List the execs of a task, in the order of their creation.
 *
 * @param task           The task.
 * @param[out] ret_list  Array of new references, ended by NULL; give it to es_exec_list_free().
 *
 * @retval >=0      Number of execs.
 * @retval -EINVAL  An argument is NULL.
 * @retval -ENOMEM  Out of memory.
 * @retval -ECHILD  Used after fork().
 *
 * @par Threads  Any.
 * @par Blocking Never.
 * @since 0.1
 */
ES_API int es_task_list_execs(struct es_task *task, struct es_exec ***ret_list);

/**
 * @brief Free an array from es_task_list_execs() with all its references. Accepts NULL.
 *
 * A caller that keeps the references sets the first entry to NULL: then only the array is freed.
 * @par Threads  Must be the last use of the array.
 * @par Blocking Never.
 * @since 0.1
 */
ES_API void es_exec_list_free(struct es_exec **list);

/**
 * @brief The exec's ID. Owned by the handle; NULL for a NULL exec.
 * @par Threads  Any.
 * @par Blocking Never.
 * @since 0.1
 */
ES_API const char *es_exec_id(const struct es_exec *exec);

/**
 * @brief What a standard stream was created with; as es_task_stream().
 *
 * @param exec    The exec.
 * @param stream  0 standard input, 1 output, 2 error.
 * @return The path or URI; NULL for a null stream, a NULL exec or another number.
 * @par Threads  Any.
 * @par Blocking Never.
 * @since 0.1
 */
ES_API const char *es_exec_stream(const struct es_exec *exec, int stream);

/**
 * @brief Set the size of the exec's terminal; its foreground processes get SIGWINCH.
 *
 * @param exec     The exec.
 * @param columns  Width in characters, 0 to 65535.
 * @param rows     Height in lines, 0 to 65535.
 *
 * @retval 0           Set.
 * @retval -EINVAL     exec is NULL, or a number is out of range.
 * @retval -ENOTTY     It has no terminal.
 * @retval -EBUSY      It has not been started.
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
ES_API int es_exec_resize(struct es_exec *exec, uint32_t columns, uint32_t rows);

/**
 * @brief End the exec's standard input: the library's own hold on the FIFO is given up.
 *
 * The process reads the end of the file once the FIFO has no other writer and what was written is
 * read. A terminal reads no end: its clients send ^D. Closing again, or where there is no standard
 * input, does nothing.
 *
 * @param exec  The exec.
 *
 * @retval 0           Closed, there is none, or the process has exited.
 * @retval -EINVAL     exec is NULL.
 * @retval -EBUSY      It has not been started.
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
ES_API int es_exec_close_stdin(struct es_exec *exec);

/**
 * @brief Whether the exec has a terminal: process.terminal of its process object.
 * @param exec  The exec.
 * @return 1 or 0; 0 for a NULL exec.
 * @par Threads  Any.
 * @par Blocking Never.
 * @since 0.1
 */
ES_API int es_exec_has_terminal(const struct es_exec *exec);

/**
 * @brief Give back one reference. Accepts NULL. The process itself goes on.
 * @par Threads  Must be the last call on this reference.
 * @par Blocking Never.
 * @since 0.1
 */
ES_API void es_exec_free(struct es_exec *exec);

#ifdef __cplusplus
}
#endif

#endif
