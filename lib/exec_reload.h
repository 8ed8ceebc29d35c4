/* SPDX-License-Identifier: Apache-2.0 */
/* Brings the execs of a task back after a restart. */
#ifndef ES_EXEC_RELOAD_H
#define ES_EXEC_RELOAD_H

#include "context.h"

/* A start that a crash interrupted is undone, unless its process runs already: that is adopted.
   An exec whose files cannot be read is left where it is, with a log line. 0, -ENOMEM. */
ES_HIDDEN int es_exec_reload_all(struct es_task *task, struct es_json *json);

#endif
