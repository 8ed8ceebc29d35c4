/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file bundle.h
 * @brief The bundle store: one directory per task under the state directory.
 *
 * `<state>/<namespace>/<id>` holds what the task needs while it exists (config.json, rootfs,
 * init.pid, log.json and the library's own files); `<root>/<namespace>/<id>` is its work
 * directory, linked from the bundle as `work`. The link is made last when a bundle is created
 * and removed first when it is deleted: it is the mark that makes a bundle valid, and a reader
 * never takes a half-made or half-deleted bundle for a valid one. Directories of namespaces have
 * mode 0711, bundles 0700 (0710 and the group of the remapped root when that is asked for),
 * as containerd's. docs/on-disk.md lists every file.
 */
#ifndef EMBEDSHIM_BUNDLE_H
#define EMBEDSHIM_BUNDLE_H

#include <embedshim/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/** An open bundle store. */
struct es_bundle_store;
/** One bundle of a store. */
struct es_bundle;

/** Options of es_bundle_create(). */
struct es_bundle_opts {
	size_t size;	   /**< sizeof(struct es_bundle_opts) */
	const char *spec;  /**< text of config.json; NULL: none is written */
	size_t spec_size;  /**< bytes of spec; 0: spec is NUL-terminated */
	uint32_t group;	   /**< host GID of the remapped root: chgrp and mode 0710; 0: mode 0700 */
	uint32_t reserved; /**< zero */
	struct es_error *error; /**< filled on failure; may be NULL */
};

/**
 * @brief Open a store, making the two directories if they are missing.
 *
 * @param root_dir   Directory of work directories; absolute.
 * @param state_dir  Directory of bundles; absolute.
 * @param error      Filled on failure; may be NULL.
 * @param[out] ret   The store; end it with es_bundle_store_free().
 *
 * @retval 0         Open.
 * @retval -EINVAL   An argument is NULL, a path is not absolute, or both are the same directory.
 * @retval -ENAMETOOLONG  A path leaves no room for the files of a bundle.
 * @retval -EACCES, -EPERM, -EROFS, -ENOSPC, -ENOTDIR, -EIO  From mkdir(2).
 * @retval -ENOMEM   Out of memory.
 *
 * @par Threads  Any.
 * @par Blocking File system I/O.
 * @since 0.1
 */
ES_API int es_bundle_store_open(const char *root_dir, const char *state_dir, struct es_error *error,
				struct es_bundle_store **ret);

/**
 * @brief Release a store. Accepts NULL. Bundles opened from it stay usable.
 * @par Threads  Must be the last call on store.
 * @par Blocking Never.
 * @since 0.1
 */
ES_API void es_bundle_store_free(struct es_bundle_store *store);

/**
 * @brief Make a bundle: its directory, rootfs (0711), config.json, work directory, link.
 *
 * Nothing is left behind when it fails.
 *
 * @param store       The store.
 * @param namespace_  Namespace; checked by es_identifier_check().
 * @param id          Task ID; checked by es_identifier_check().
 * @param opts        Options; NULL: no config.json.
 * @param[out] ret    The bundle; end the handle with es_bundle_free().
 *
 * @retval 0              Made.
 * @retval -EINVAL        store or ret is NULL, an identifier is not valid, or opts->size is too
 * small.
 * @retval -ENAMETOOLONG  An identifier is longer than ES_ID_MAX.
 * @retval -E2BIG         opts has members set that this library does not know.
 * @retval -EEXIST        A directory of that name exists in the store.
 * @retval -EACCES, -EPERM, -EROFS, -ENOSPC, -EDQUOT, -EIO  From the file system.
 * @retval -ENOMEM        Out of memory.
 *
 * @par Threads  Any; of several callers with one id, one succeeds.
 * @par Blocking File system I/O.
 * @since 0.1
 */
ES_API int es_bundle_create(struct es_bundle_store *store, const char *namespace_, const char *id,
			    const struct es_bundle_opts *opts, struct es_bundle **ret);

/**
 * @brief Get a handle on an existing bundle, valid or not.
 *
 * @param store       The store.
 * @param namespace_  Namespace.
 * @param id          Task ID.
 * @param[out] ret    The bundle; end the handle with es_bundle_free().
 *
 * @retval 0              Open.
 * @retval -EINVAL        store or ret is NULL or an identifier is not valid.
 * @retval -ENAMETOOLONG  An identifier is longer than ES_ID_MAX.
 * @retval -ENOENT        No such directory.
 * @retval -ENOMEM        Out of memory.
 *
 * @par Threads  Any.
 * @par Blocking File system I/O.
 * @since 0.1
 */
ES_API int es_bundle_open(struct es_bundle_store *store, const char *namespace_, const char *id,
			  struct es_bundle **ret);

/**
 * @brief Whether the bundle carries its validity mark.
 *
 * The mark counts whether or not the work directory exists, and whatever the root directory was
 * called when it was made.
 * @param bundle  The bundle.
 * @retval 1  Valid.
 * @retval 0  Half made or half deleted.
 * @retval -EINVAL  bundle is NULL.
 * @retval -EBADMSG  It has the mark of another bundle: it is a copy.
 * @retval -EACCES, -EIO  From readlink(2).
 * @par Threads  Any.
 * @par Blocking File system I/O.
 * @since 0.1
 */
ES_API int es_bundle_is_valid(const struct es_bundle *bundle);

/**
 * @brief The bundle's directory. Owned by the handle; NULL for a NULL bundle.
 * @par Threads  Any.
 * @par Blocking Never.
 * @since 0.1
 */
ES_API const char *es_bundle_dir(const struct es_bundle *bundle);

/**
 * @brief Where the root file system goes: `<bundle>/rootfs`. Owned by the handle; NULL for NULL.
 * @par Threads  Any.
 * @par Blocking Never.
 * @since 0.1
 */
ES_API const char *es_bundle_rootfs(const struct es_bundle *bundle);

/**
 * @brief The work directory: `<root>/<namespace>/<id>`. Owned by the handle; NULL for NULL.
 * @par Threads  Any.
 * @par Blocking Never.
 * @since 0.1
 */
ES_API const char *es_bundle_work_dir(const struct es_bundle *bundle);

/**
 * @brief Unmount everything that is mounted below the bundle, deepest first.
 *
 * Symbolic links are not followed. A busy mount is detached (MNT_DETACH).
 *
 * @param bundle  The bundle.
 * @param error   Filled on failure; may be NULL.
 *
 * @retval >=0      Number of mounts removed.
 * @retval -EINVAL  bundle is NULL.
 * @retval -EPERM   No privilege to unmount.
 * @retval -EIO     /proc/self/mountinfo cannot be read.
 *
 * @par Threads  Any.
 * @par Blocking May wait for a file system to flush.
 * @since 0.1
 */
ES_API int es_bundle_unmount(struct es_bundle *bundle, struct es_error *error);

/**
 * @brief Remove a bundle and its work directory.
 *
 * Unmounts what is mounted below it first, takes the validity mark away, then removes the files.
 * Never descends into another file system: if a mount cannot be removed, nothing behind it is
 * touched and the call fails. Removing what is partly gone succeeds.
 *
 * @param bundle  The bundle. The handle stays and must be freed.
 * @param error   Filled on failure; may be NULL.
 *
 * @retval 0        Gone.
 * @retval -EINVAL  bundle is NULL.
 * @retval -EBUSY   Something is still mounted in it.
 * @retval -EACCES, -EPERM, -EROFS, -EIO  From the file system.
 *
 * @par Threads  Any.
 * @par Blocking File system I/O.
 * @since 0.1
 */
ES_API int es_bundle_remove(struct es_bundle *bundle, struct es_error *error);

/**
 * @brief Release the handle. Accepts NULL. Nothing on disk changes.
 * @par Threads  Must be the last call on bundle.
 * @par Blocking Never.
 * @since 0.1
 */
ES_API void es_bundle_free(struct es_bundle *bundle);

#ifdef __cplusplus
}
#endif

#endif
