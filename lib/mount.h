/* SPDX-License-Identifier: Apache-2.0 */
/* The mount table: what is mounted below a directory, and whose mount namespace this is. */
#ifndef ES_MOUNT_H
#define ES_MOUNT_H

#include <stdbool.h>

#include "util.h"

/*
 * Unmount everything at or below dir (below only if `below_only`), deepest and latest first, never
 * following a symbolic link. A busy mount is detached. Reads /proc/self/mountinfo (octal escapes
 * such as \040 decoded). dir must be absolute; it is resolved first, because mountinfo has
 * resolved paths. Returns the number of mounts removed, or a negative errno (-EPERM, -EIO ...);
 * goes on after an error and returns the first. A dir that does not exist: 0.
 */
ES_HIDDEN int es_mount_remove_below(const char *dir, bool below_only);

/*
 * Whether mounts made in this mount namespace live as long as the host (or as the node container
 * whose init holds the namespace): compare with /proc/1/ns/mnt where it can be read; the initial
 * namespace's fixed inode (0xEFFFFFF8, Linux 6.18); otherwise the propagation of the root mount in
 * mountinfo ("master:" tells a namespace made by systemd's PrivateMounts=).
 */
enum es_mount_ns { ES_MOUNT_NS_HOST, ES_MOUNT_NS_PRIVATE, ES_MOUNT_NS_UNKNOWN };
ES_HIDDEN enum es_mount_ns es_mount_ns_kind(void);

#endif
