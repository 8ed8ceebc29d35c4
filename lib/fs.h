/* SPDX-License-Identifier: Apache-2.0 */
/* Files and directories: small reads, atomic writes, trees, private directories. */
#ifndef ES_FS_H
#define ES_FS_H

#include <sys/types.h>

#include "util.h"

/* Join with '/': a malloc()ed path in *ret. Returns 0 or -ENOMEM. */
ES_HIDDEN int es_path_join(char **ret, const char *dir, const char *name);

/*
 * Read a regular file of at most max bytes, relative to dir_fd. *ret is malloc()ed and
 * NUL-terminated; *ret_size (may be NULL) excludes the NUL.
 * -EFBIG if it is larger, -EINVAL if it is not a regular file (a FIFO never blocks us), otherwise
 * the errno of open(2) or read(2).
 */
ES_HIDDEN int es_file_read(int dir_fd, const char *name, size_t max, char **ret, size_t *ret_size);

/*
 * Replace dir_fd/name atomically: a temporary file in the same directory (O_EXCL, random name that
 * starts with ".tmp-"), then rename(2). A reader sees the old or the new content, never part of it.
 * No fsync: the store promises consistency across a killed process, not across a power loss.
 * On failure the temporary file is gone. Returns 0 or a negative errno.
 */
ES_HIDDEN int es_file_write(int dir_fd, const char *name, const void *data, size_t size,
			    mode_t mode);

/* mkdir(2) with exactly this mode whatever the umask. -EEXIST if it exists. */
ES_HIDDEN int es_dir_make(const char *path, mode_t mode);

/* Make path and missing parents (parents 0711). Existing directories keep their mode. -ENOTDIR if
   something else is in the way. */
ES_HIDDEN int es_dir_make_all(const char *path, mode_t mode);

/*
 * Remove the tree dir_fd/name without following symbolic links and without leaving its file
 * system: -EBUSY (nothing behind the mount touched) at a mount point. What vanishes meanwhile is
 * no error. Goes on after an error and returns the first one. Mount points are recognised by
 * STATX_ATTR_MOUNT_ROOT (5.8) and st_dev.
 */
ES_HIDDEN int es_tree_remove(int dir_fd, const char *name);

#endif
