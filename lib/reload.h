/* SPDX-License-Identifier: Apache-2.0 */
/* Brings the tasks of a state directory back after a restart, a kill -9 or a reboot. */
#ifndef ES_RELOAD_H
#define ES_RELOAD_H

#include "context.h"

/*
 * Load every bundle into the registry: whole ones as tasks with their true state, half-made ones
 * as cleanups. Starts no process. Afterwards frees map entries that belong to nothing. A bundle
 * that cannot be understood is kept, never removed, when it may be that of a live container.
 * 0, or a negative errno that makes it impossible to go on (-ENOMEM, -EMFILE, the state directory
 * cannot be read).
 */
ES_HIDDEN int es_reload(struct es_manager *manager, struct es_error *error);

/* The largest trace ID that any bundle mentions: the floor of a database that was lost. */
ES_HIDDEN uint64_t es_reload_largest_trace_id(struct es_bundle_store *store);

#endif
