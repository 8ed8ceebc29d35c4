/* SPDX-License-Identifier: Apache-2.0 */
/* One root, one owner: a lock on `<root>/lock` that tells who holds it. */
#ifndef ES_ROOT_LOCK_H
#define ES_ROOT_LOCK_H

#include <embedshim/base.h>

#include "util.h"

/*
 * Take the lock: a descriptor that holds it until it is closed. -EBUSY with the holder's pid and
 * name in error when a living process has it; a holder that is just being killed is waited for
 * (at most a second). Other errors from open(2).
 */
ES_HIDDEN int es_root_lock(const char *root_dir, struct es_error *error);

/* Give the lock up at once, also if a forked child still has the descriptor. */
ES_HIDDEN void es_root_unlock(int fd);

#endif
