/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file idalloc.h
 * @brief Trace IDs: 64-bit numbers that are never handed out twice.
 *
 * Backed by an sqlite database. IDs are reserved in blocks, one durable transaction (fsync) a
 * block; what is left of a block when the process ends is never used. So an ID does not come
 * back after a kill -9, a crash of the host or a reboot, and taking one costs no I/O.
 */
#ifndef EMBEDSHIM_IDALLOC_H
#define EMBEDSHIM_IDALLOC_H

#include <embedshim/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/** An open allocator. */
struct es_idalloc;

/** Options of es_idalloc_open(). */
struct es_idalloc_opts {
	size_t size;	  /**< sizeof(struct es_idalloc_opts) */
	const char *path; /**< the database file; made with mode 0600 if missing. Required */
	uint64_t floor;	  /**< every ID handed out is larger than this; for callers that know
			       IDs a lost database handed out. 0: none */
	uint32_t block;	  /**< IDs reserved in one transaction; 0: 1024 */
	uint32_t busy_timeout_ms; /**< how long to wait for another process's lock; 0: 1000 */
	struct es_error *error;	  /**< filled on failure; may be NULL */
};

/**
 * @brief Open the database, making it if it is missing. The first ID reserves the first block.
 *
 * @param opts      Options; not NULL.
 * @param[out] ret  The allocator; end it with es_idalloc_free().
 *
 * @retval 0         Open.
 * @retval -EINVAL   opts, opts->path or ret is NULL, or opts->size is too small.
 * @retval -E2BIG    opts has members set that this library does not know.
 * @retval -EBUSY    Another process kept the database locked for busy_timeout_ms.
 * @retval -EROFS    The database or its directory cannot be written.
 * @retval -EACCES   Permission denied.
 * @retval -ENOENT   The directory of path does not exist.
 * @retval -ENAMETOOLONG  path is longer than 496 bytes, which is what sqlite can open.
 * @retval -EBADMSG  The file is damaged or is not a database of this library.
 * @retval -ENOSPC   No room on the filesystem.
 * @retval -EOVERFLOW floor leaves no ID below 2^63.
 * @retval -EIO      Any other I/O error of sqlite; the text says which.
 * @retval -ENOMEM   Out of memory.
 *
 * @par Threads  Any.
 * @par Blocking Up to busy_timeout_ms; for an fsync when the database is made.
 * @since 0.1
 */
ES_API int es_idalloc_open(const struct es_idalloc_opts *opts, struct es_idalloc **ret);

/**
 * @brief Take the next ID.
 *
 * @param alloc     The allocator.
 * @param[out] ret  An ID larger than every one before; never 0.
 *
 * @retval 0          Written.
 * @retval -EINVAL    An argument is NULL.
 * @retval -ECHILD    The allocator was opened by another process (used after fork()).
 * @retval -EBUSY, -EROFS, -EACCES, -EBADMSG, -ENOSPC, -EIO
 *                    The next block could not be reserved; see es_idalloc_open(). A later call
 *                    tries again.
 * @retval -EOVERFLOW All 2^63 - 1 IDs are used up.
 *
 * @par Threads  Any.
 * @par Blocking Only for a new block: up to busy_timeout_ms, and for one fsync.
 * @since 0.1
 */
ES_API int es_idalloc_next(struct es_idalloc *alloc, uint64_t *ret);

/**
 * @brief Close the database. Accepts NULL.
 * @par Threads  Must be the last call on alloc.
 * @par Blocking Never for long.
 * @since 0.1
 */
ES_API void es_idalloc_free(struct es_idalloc *alloc);

#ifdef __cplusplus
}
#endif

#endif
