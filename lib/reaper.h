/* SPDX-License-Identifier: Apache-2.0 */
/* Reaps the processes of ours that serve streams, and tells when one has ended badly. */
#ifndef ES_REAPER_H
#define ES_REAPER_H

#include "pidref.h"

struct es_reaper;

ES_HIDDEN int es_reaper_open(struct es_reaper **ret); /* 0, -ENOMEM, -EMFILE, -ENFILE */
/* The processes go on. NULL is accepted. */
ES_HIDDEN void es_reaper_close(struct es_reaper *reaper);

/* Polls readable while es_reaper_run() has work. */
ES_HIDDEN int es_reaper_fd(const struct es_reaper *reaper);

/* Watch a process, which may be a child or, after a restart, not. The reference is taken, also on
   failure; what says whose it is. */
ES_HIDDEN int es_reaper_add(struct es_reaper *reaper, struct es_pidref *process, const char *what);

/* Reap what has ended, and log what did not exit with 0. Any thread; never blocks. */
ES_HIDDEN void es_reaper_run(struct es_reaper *reaper);

#endif
