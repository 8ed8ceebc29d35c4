/* SPDX-License-Identifier: Apache-2.0 */
/* A container's cgroups, known by the text of /proc/<init>/cgroup: its processes, frozen, killed.
 */
#ifndef ES_CONTAINER_CGROUP_H
#define ES_CONTAINER_CGROUP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "util.h"

/* The text, malloc()ed. 0, -ESRCH, -ENOMEM, -EFBIG, -EIO. */
ES_HIDDEN int es_container_cgroup_read(pid_t pid, char **ret);

/*
 * Inode of the directory in which its OOM kills are counted: v1's memory hierarchy, or v2. 0 if
 * that is no cgroup of its own, or gone.
 */
ES_HIDDEN uint64_t es_container_cgroup_id(const char *text);

/* Processes in it and below, malloc()ed; see es_task_pids(). */
ES_HIDDEN int es_container_cgroup_pids(const char *text, int32_t **ret);

/* Signal all of them; see es_task_kill_all(). */
ES_HIDDEN int es_container_cgroup_signal(const char *text, int signal);

/* Whether the freezer holds it. */
ES_HIDDEN bool es_container_cgroup_is_frozen(const char *text);

/* Let SIGKILL through: on v1 a frozen process dies only when it is thawed. */
ES_HIDDEN void es_container_cgroup_thaw_v1(const char *text);

#endif
