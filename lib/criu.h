/* SPDX-License-Identifier: Apache-2.0 */
/* Tells criu of a container's output streams, which lie outside of the container. */
#ifndef ES_CRIU_H
#define ES_CRIU_H

#include <sys/types.h>

#include "util.h"

/*
 * A FIFO or a file that the process has as stdout or stderr and that none of its mounts leads to:
 * criu refuses to write such a descriptor unless it is named to it. Runtimes name pipes only, so it
 * is done by a configuration file beside theirs: *ret_env is the variable that makes criu read it,
 * malloc()ed, NULL when there is no such stream. What a restore has to know is kept in the
 * directory of the image. A negative errno when a file cannot be written or the process is gone.
 */
ES_HIDDEN int es_criu_dump_streams(pid_t pid, const char *image_path, const char *work_path,
				   char **ret_env);

/*
 * The same for a restore: the streams of the image become the descriptors 1 and 2 that the runtime
 * is given. *ret_env is NULL for an image without a list of them. Only the list's known form is
 * passed on: an image may come from anywhere, and criu's configuration can name programs to run.
 * -EBADMSG.
 */
ES_HIDDEN int es_criu_restore_streams(const char *image_path, const char *work_path,
				      char **ret_env);

/* Remove the file that the variable names, and free it: for CLEANUP. NULL is nothing. */
ES_HIDDEN void es_criu_env_clear(char **env);

#endif
