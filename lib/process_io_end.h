/* SPDX-License-Identifier: Apache-2.0 */
/* The processes of ours that serve streams: found again after a restart, and brought to their end.
 */
#ifndef ES_PROCESS_IO_END_H
#define ES_PROCESS_IO_END_H

#include "io_record.h"
#include "reaper.h"

/* After a restart: reap those of dir that are alive or were not reaped, too. */
ES_HIDDEN void es_process_io_reload(const char *dir, const char *const *name, struct es_json *json,
				    struct es_reaper *reaper);

/* One that is alive, of dir or of an exec below it. */
struct es_io_served {
	enum es_io_server server;
	struct es_pidref process;
};
/* Open the next. -ESRCH: there is none. */
ES_HIDDEN int es_process_io_next(const char *dir, struct es_io_served *ret);

/* How long they have for what is still on its way, and a logger then to heed SIGTERM: as
   containerd's runc shim gives them. */
#define ES_IO_DRAIN_MS	 10000
#define ES_LOGGER_END_MS 12000

/* The container's processes have ended: let each server of dir and its execs finish, at most
   ES_IO_DRAIN_MS in all, and end those that do not. Blocks. */
ES_HIDDEN void es_process_io_end(const char *dir, struct es_reaper *reaper);

#endif
