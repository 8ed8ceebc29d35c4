/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file checkpoint.h
 * @brief Write a running container to disk with criu, to be restored by es_task_create().
 */
#ifndef EMBEDSHIM_CHECKPOINT_H
#define EMBEDSHIM_CHECKPOINT_H

#include <embedshim/task.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Bits of es_checkpoint_opts.flags. */
enum es_checkpoint_flags {
	ES_CHECKPOINT_EXIT = 1,		/**< end the container; otherwise it goes on */
	ES_CHECKPOINT_TCP = 2,		/**< established TCP connections too */
	ES_CHECKPOINT_UNIX_SOCKETS = 4, /**< unix sockets with a peer outside */
	ES_CHECKPOINT_SHELL_JOB = 8,	/**< a controlling terminal from outside */
	ES_CHECKPOINT_FILE_LOCKS = 16	/**< file locks */
};

/** Options of es_task_checkpoint(). */
struct es_checkpoint_opts {
	size_t size;		/**< sizeof(struct es_checkpoint_opts) */
	const char *image_path; /**< directory for the image; absolute, made if missing. Required */
	const char *work_path;	/**< for criu's log and statistics; NULL: a temporary directory */
	const char *cgroups_mode; /**< criu's --manage-cgroups mode; NULL: its default */
	/** Namespaces to save without their content ("network"), ended by NULL; may be NULL. At
	    most 8. */
	const char *const *empty_namespaces;
	uint32_t flags;		/**< enum es_checkpoint_flags */
	uint32_t reserved;	/**< zero */
	struct es_error *error; /**< filled on failure; may be NULL */
};

/**
 * @brief Write the container's processes to an image: `runc checkpoint`.
 *
 * When criu fails and work_path is NULL, its dump.log is kept as criu-dump.log in the bundle.
 *
 * @param task  The task: running or paused.
 * @param opts  Options; not NULL.
 *
 * @retval 0            Written.
 * @retval -EINVAL      An argument is missing, a path is not absolute, or there are too many
 *                      namespaces.
 * @retval -E2BIG       opts has members set that this library does not know.
 * @retval -EBUSY       Neither running nor paused.
 * @retval -EIO         The runtime failed; opts->error has its message.
 * @retval -ENOENT, -EACCES  The runtime's program is missing or not executable.
 * @retval -ETIMEDOUT   The runtime did not finish within its deadline and was killed.
 * @retval -EMFILE, -ENFILE, -ENOMEM, -EAGAIN  Out of descriptors, memory or processes.
 * @retval -ESHUTDOWN   The manager has been closed.
 * @retval -ECHILD      Used after fork().
 * @retval -EROFS, -ENOSPC, -EDQUOT, -EPERM, -ENOTDIR  A directory could not be made.
 *
 * @par Threads  Any.
 * @par Blocking For other calls that change the task and for the runtime command, at most its
 *               deadline.
 * @since 0.1
 */
ES_API int es_task_checkpoint(struct es_task *task, const struct es_checkpoint_opts *opts);

#ifdef __cplusplus
}
#endif

#endif
