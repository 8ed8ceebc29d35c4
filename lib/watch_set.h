/* SPDX-License-Identifier: Apache-2.0 */
/* The watched processes of a monitor: from a readable pidfd to an exit that waits to be taken. */
#ifndef ES_WATCH_SET_H
#define ES_WATCH_SET_H

#include <embedshim/exit.h>
#include <pthread.h>
#include <stdbool.h>
#include <sys/queue.h>

#include "exitsnoop.h"
#include "pidref.h"

/*
 * The BPF program has always written the record before the pidfd becomes readable. If it is missing
 * all the same (somebody detached the program), the kernel tells the status of a reaped process
 * (PIDFD_GET_INFO): look this often for it to be reaped.
 */
#define ES_WATCH_RETRY_NS (20 * NSEC_PER_MSEC)

struct es_watch {
	uint64_t trace_id; /* first: the tree compares it */
	struct es_pidref ref;
	unsigned int users; /* the set, and every thread that waits on ref.fd without the lock */
	bool reap;	    /* the zombie is ours to collect */
	bool known;	    /* exit is filled */
	bool queued; /* on the list of exits; otherwise on that of the unrecorded, or on none */
	uint64_t unrecorded_since_ns; /* pidfd readable, but no record: since when; 0 otherwise */
	struct es_exit exit;
	TAILQ_ENTRY(es_watch) link;
};

TAILQ_HEAD(es_watch_list, es_watch);

struct es_watch_set {
	struct es_exitsnoop *snoop; /* borrowed */
	int epoll_fd;		    /* all pidfds of processes that run, and the two below */
	int queue_fd;		    /* eventfd: readable while there are exits to take */
	int timer_fd;		    /* looks again for unrecorded exits */
	pthread_mutex_t
		lock;  /* protects what follows; callers of all but init, open, close hold it */
	void *watches; /* tsearch(3) tree by trace ID */
	struct es_watch_list exits; /* not taken yet */
	struct es_watch_list unrecorded;
};

ES_HIDDEN void es_watch_set_init(struct es_watch_set *set);
ES_HIDDEN int es_watch_set_open(struct es_watch_set *set, struct es_exitsnoop *snoop);
ES_HIDDEN void es_watch_set_close(struct es_watch_set *set);

/* Takes w, whose users is 1, on success. 0, -EEXIST, -ENOMEM, -ENOSPC (epoll). */
ES_HIDDEN int es_watch_insert(struct es_watch_set *set, struct es_watch *w);
ES_HIDDEN void es_watch_remove(struct es_watch_set *set, struct es_watch *w);
ES_HIDDEN struct es_watch *es_watch_find(const struct es_watch_set *set, uint64_t trace_id);
ES_HIDDEN void es_watch_put(struct es_watch *w);

/* Look whether w has exited, and make its exit known and queued if so. */
ES_HIDDEN void es_watch_settle(struct es_watch_set *set, struct es_watch *w);
/* w->exit is filled by the caller: queue it. */
ES_HIDDEN void es_watch_set_known(struct es_watch_set *set, struct es_watch *w);
/* w was taken off the list of exits: put it back to the front. */
ES_HIDDEN void es_watch_requeue(struct es_watch_set *set, struct es_watch *w);
/* Take w off the list it is on. */
ES_HIDDEN void es_watch_unlink(struct es_watch_set *set, struct es_watch *w);
/* Settle what epoll says is ready. Never blocks. */
ES_HIDDEN void es_watch_set_drain(struct es_watch_set *set);

#endif
