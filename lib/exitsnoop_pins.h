/* SPDX-License-Identifier: Apache-2.0 */
/* The BPF objects of exitsnoop as descriptors: take over pinned ones, load and pin others. */
#ifndef ES_EXITSNOOP_PINS_H
#define ES_EXITSNOOP_PINS_H

#include <embedshim/base.h>

#include <stdbool.h>

#include "util.h"

enum es_exitsnoop_map {
	ES_MAP_EXITS,
	ES_MAP_MARKS,
	ES_MAP_FOLLOWS,
	ES_MAP_FOLLOWED,
	ES_MAP_CGROUPS,
	ES_MAP_OOM_SEEN,
	ES_MAP_WAKEUPS,
	ES_MAP_CONFIG,
	ES_MAP_ATTACH,
	ES_MAP_COUNT
};
enum es_exitsnoop_prog { ES_PROG_MARK_SELF, ES_PROG_RESOLVE, ES_PROG_ATTACH, ES_PROG_COUNT };
enum es_exitsnoop_link { ES_LINK_EXIT, ES_LINK_FORK, ES_LINK_COUNT };

struct es_exitsnoop_pins {
	int maps[ES_MAP_COUNT];
	int progs[ES_PROG_COUNT];
	/* Held so that the programs stay attached even if somebody removes the pins. */
	int links[ES_LINK_COUNT];
	uint32_t capacity;
};

/*
 * Open what is pinned in dir and complete it. A capacity of 0 takes what is there, or `fallback`.
 * Programs of another build are replaced without a gap: the new ones are attached and pinned beside
 * the old, then renamed over them; for a moment both run, which their idempotence allows.
 * -EEXIST: records of another capacity are in use. Otherwise as es_exitsnoop_open().
 */
ES_HIDDEN int es_exitsnoop_pins_open(struct es_exitsnoop_pins *pins, const char *dir,
				     uint32_t capacity, uint32_t fallback, struct es_error *error);
ES_HIDDEN void es_exitsnoop_pins_close(struct es_exitsnoop_pins *pins);

/* Unlink every pin in dir that has a name of ours. */
ES_HIDDEN void es_exitsnoop_pins_remove(const char *dir);

/* Added to the hash that tells builds apart. Only tests set it, to play an upgrade. */
ES_HIDDEN extern uint64_t es_exitsnoop_build_salt;

#endif
