/* SPDX-License-Identifier: Apache-2.0 */
/* A process whose exit is followed, as that of a runtime. */
#ifndef ES_TEST_FOLLOWED_H
#define ES_TEST_FOLLOWED_H

#include "exitsnoop.h"
#include "spawn.h"

/* Reserve id, follow it, and start a program with that mark on it. */
int spawn_followed(struct es_exitsnoop *snoop, uint64_t id, char *const argv[], const char *cwd,
		   struct es_pidref *ref);

#endif
