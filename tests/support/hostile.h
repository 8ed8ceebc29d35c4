/* SPDX-License-Identifier: Apache-2.0 */
/* A container that puts other things in the place of what we open, and those it must not reach. */
#ifndef ES_TEST_HOSTILE_H
#define ES_TEST_HOSTILE_H

#include <sys/stat.h>

#include "stream.h"

/* The hostile container, and those that it must not reach. */
struct world {
	struct env env;
	char shared[PATH_MAX / 2];   /* on the host; the hostile one has it as /shared */
	char secret[PATH_MAX / 2];   /* directory with the victim */
	char victim[PATH_MAX];	     /* file of the host */
	char missing[PATH_MAX];	     /* beside it, and must not come into being */
	char other[2][PATH_MAX / 2]; /* FIFOs of the bystander: input, output */
	struct stat victim_st, other_st[2];
	bool terminal; /* the hostile one has one */
	struct es_manager *m;
	struct es_task *hostile, *bystander;
	struct reader answers;
	int to_bystander;
	uint64_t asked;
	bool with_created; /* also one for each trick that is not started yet, with its streams in
			      shared */
	bool in_bundle;	   /* shared is the bundle of the hostile one, which has no streams */
};

/* What is put there, and what becomes of a stream that is opened then. */
struct trick {
	const char *id;
	const char *script; /* $x: the place, $victim, $missing, $in, $out: paths on the host */
	int fifo, file;	    /* results */
};

#define TRICKS 13
extern const struct trick tricks[TRICKS];

/* Make the directories, the victim and the bystander's streams; env_clear() removes them. */
void world_prepare(struct world *w);
/* A manager starts the containers, and is killed: they run, and no manager does. */
void world_begin(struct world *w);
/* The next manager. */
void world_come_back(struct world *w);
struct es_task *world_get(const struct world *w, const char *id);
/* Kill and delete the hostile one, which has done no harm, and the other; nothing is left. */
void world_end(struct world *w);

/* A path of the host; the last eight are kept. */
const char *in_shared(const struct world *w, const char *name);
/* Run a script in the hostile container, by its own process: no manager is needed for it. */
void hostile_does(const struct world *w, const char *script, ...)
	__attribute__((format(printf, 2, 3)));
/* Put something in the place of a file in shared. */
void play_trick(const struct world *w, const struct trick *trick, const char *name);
/* Nobody but the hostile one has noticed anything. */
void check_others(struct world *w);

#endif
