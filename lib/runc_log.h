/* SPDX-License-Identifier: Apache-2.0 */
/* The log an OCI runtime writes with --log-format json. */
#ifndef ES_RUNC_LOG_H
#define ES_RUNC_LOG_H

#include <sys/types.h>

#include "util.h"

/* Size of the log now: where the lines of the next command begin. 0 if there is none. */
ES_HIDDEN off_t es_runc_log_end(const char *path);

/*
 * The message of the last line with level "error" (or "fatal", "panic") written since offset, as
 * malloc()ed text. At most the last 64 KiB are looked at; lines that are not JSON are passed over,
 * but the last of them is the answer when no line is JSON. -ENOENT: no message. -ENOMEM.
 */
ES_HIDDEN int es_runc_log_last_error(const char *path, off_t offset, char **ret);

/* Whether a message says that the container does not exist / is not running. The only place that
   decides by text; checked against real runc and crun output in the tests. */
ES_HIDDEN int es_runc_message_is_not_found(const char *message);

#endif
