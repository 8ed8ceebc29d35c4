/* SPDX-License-Identifier: Apache-2.0 */
/* The watched processes of a monitor: from a readable pidfd to an exit that waits to be taken. */
#include "watch_set.h"

#include <search.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>

#include "clock.h"
#include "exit_status.h"

/* How long the kernel is asked for the status of a process that has no record. */
#define UNRECORDED_WAIT_NS (2 * NSEC_PER_SEC)

/* epoll tags that no trace ID uses: IDs stay below 2^63. */
#define TAG_QUEUE (UINT64_MAX - 1)
#define TAG_TIMER (UINT64_MAX - 2)

static int compare_watches(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

struct es_watch *es_watch_find(const struct es_watch_set *s, uint64_t trace_id)
{
	struct es_watch **node = tfind(&trace_id, &s->watches, compare_watches);

	return node ? *node : NULL;
}

void es_watch_put(struct es_watch *w)
{
	if (--w->users > 0)
		return;
	es_pidref_close(&w->ref);
	free(w);
}

/* Make the eventfd readable exactly while there are exits to hand out. */
static void update_queue_fd(const struct es_watch_set *s)
{
	uint64_t value = 1;
	ssize_t n;

	if (TAILQ_EMPTY(&s->exits))
		n = read(s->queue_fd, &value, sizeof(value));
	else
		n = write(s->queue_fd, &value, sizeof(value));
	(void)n; /* EAGAIN: it is in the wanted state already */
}

static void arm_timer(const struct es_watch_set *s, bool on)
{
	struct itimerspec t = { 0 };

	if (on) {
		t.it_value.tv_nsec = (long)ES_WATCH_RETRY_NS;
		t.it_interval.tv_nsec = (long)ES_WATCH_RETRY_NS;
	}
	timerfd_settime(s->timer_fd, 0, &t, NULL);
}

static void set_unrecorded(struct es_watch_set *s, struct es_watch *w)
{
	/* Level-triggered, the pidfd would wake us for ever. */
	epoll_ctl(s->epoll_fd, EPOLL_CTL_DEL, w->ref.fd, NULL);
	w->unrecorded_since_ns = es_clock_ns(CLOCK_MONOTONIC);
	if (TAILQ_EMPTY(&s->unrecorded))
		arm_timer(s, true);
	TAILQ_INSERT_TAIL(&s->unrecorded, w, link);
}

/* Take w off the list it is on. */
void es_watch_unlink(struct es_watch_set *s, struct es_watch *w)
{
	if (w->queued) {
		TAILQ_REMOVE(&s->exits, w, link);
		w->queued = false;
		if (TAILQ_EMPTY(&s->exits))
			update_queue_fd(s);
	} else if (w->unrecorded_since_ns) {
		TAILQ_REMOVE(&s->unrecorded, w, link);
		w->unrecorded_since_ns = 0;
		if (TAILQ_EMPTY(&s->unrecorded))
			arm_timer(s, false);
	}
}

void es_watch_set_known(struct es_watch_set *s, struct es_watch *w)
{
	es_watch_unlink(s, w);
	w->known = true;
	w->exit.trace_id = w->trace_id;
	if (w->ref.fd >= 0)
		epoll_ctl(s->epoll_fd, EPOLL_CTL_DEL, w->ref.fd, NULL);
	TAILQ_INSERT_TAIL(&s->exits, w, link);
	w->queued = true;
	update_queue_fd(s);
}

void es_watch_requeue(struct es_watch_set *s, struct es_watch *w)
{
	TAILQ_INSERT_HEAD(&s->exits, w, link);
	w->queued = true;
	update_queue_fd(s);
}

/* No record: ask the kernel as a waiter would, and give up after a while. */
static void settle_unrecorded(struct es_watch_set *s, struct es_watch *w)
{
	uint64_t now = es_clock_ns(CLOCK_MONOTONIC);
	int status;

	if (es_pidref_take_status(&w->ref, w->reap, &status) == 0) {
		es_exit_set_status(&w->exit, status);
		w->exit.source = ES_EXIT_WAIT;
		w->exit.exited_boot_ns = es_clock_ns(CLOCK_BOOTTIME);
	} else if (!w->unrecorded_since_ns) {
		set_unrecorded(s, w);
		return;
	} else if (now - w->unrecorded_since_ns < UNRECORDED_WAIT_NS) {
		return;
	} else {
		es_exit_set_lost(&w->exit);
	}
	w->exit.pid = w->ref.pid;
	es_exit_set_real_times(&w->exit);
	es_watch_set_known(s, w);
}

/* Look whether w has exited, and make its exit known if so. */
void es_watch_settle(struct es_watch_set *s, struct es_watch *w)
{
	int status;

	if (w->known || !es_pidref_has_exited(&w->ref))
		return;
	if (es_exitsnoop_lookup(s->snoop, w->trace_id, &w->exit) < 0) {
		settle_unrecorded(s, w);
		return;
	}
	/* The record is better than what a waiter hears; only the zombie must go. */
	if (w->reap)
		es_pidref_take_status(&w->ref, true, &status);
	es_watch_set_known(s, w);
}

static void settle_all_unrecorded(struct es_watch_set *s)
{
	struct es_watch *w, *next;
	uint64_t ticks;
	ssize_t n;

	n = read(s->timer_fd, &ticks, sizeof(ticks));
	(void)n;
	for (w = TAILQ_FIRST(&s->unrecorded); w; w = next) {
		next = TAILQ_NEXT(w, link);
		es_watch_settle(s, w);
	}
}

void es_watch_set_drain(struct es_watch_set *s)
{
	struct epoll_event events[64];
	int n;

	n = epoll_wait(s->epoll_fd, events, ES_ARRAY_SIZE(events), 0);
	for (int i = 0; i < n; i++) {
		struct es_watch *w;

		if (events[i].data.u64 == TAG_TIMER) {
			settle_all_unrecorded(s);
			continue;
		}
		w = es_watch_find(s, events[i].data.u64);
		if (w)
			es_watch_settle(s, w);
	}
}

static int add_to_epoll(const struct es_watch_set *s, int fd, uint64_t tag)
{
	struct epoll_event event = { .events = EPOLLIN, .data.u64 = tag };

	return epoll_ctl(s->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0 ? es_neg_errno() : 0;
}

void es_watch_set_init(struct es_watch_set *s)
{
	s->epoll_fd = s->queue_fd = s->timer_fd = -EBADF;
	pthread_mutex_init(&s->lock, NULL);
	TAILQ_INIT(&s->exits);
	TAILQ_INIT(&s->unrecorded);
}

int es_watch_set_open(struct es_watch_set *s, struct es_exitsnoop *snoop)
{
	int r;

	s->snoop = snoop;
	s->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	s->queue_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	s->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (s->epoll_fd < 0 || s->queue_fd < 0 || s->timer_fd < 0)
		return es_neg_errno();
	r = add_to_epoll(s, s->queue_fd, TAG_QUEUE);
	return r < 0 ? r : add_to_epoll(s, s->timer_fd, TAG_TIMER);
}

static void put_node(void *node)
{
	es_watch_put(node);
}

void es_watch_set_close(struct es_watch_set *s)
{
	tdestroy(s->watches, put_node);
	es_close(s->timer_fd);
	es_close(s->queue_fd);
	es_close(s->epoll_fd);
	pthread_mutex_destroy(&s->lock);
}

int es_watch_insert(struct es_watch_set *s, struct es_watch *w)
{
	struct es_watch **node = tsearch(w, &s->watches, compare_watches);
	int r = 0;

	if (!node)
		return -ENOMEM;
	if (*node != w)
		return -EEXIST;
	if (w->ref.fd >= 0)
		r = add_to_epoll(s, w->ref.fd, w->trace_id);
	if (r < 0)
		tdelete(w, &s->watches, compare_watches);
	return r;
}

void es_watch_remove(struct es_watch_set *s, struct es_watch *w)
{
	tdelete(w, &s->watches, compare_watches);
	es_watch_unlink(s, w);
	/* Another thread may still hold the pidfd open for its es_monitor_wait(). */
	if (w->ref.fd >= 0)
		epoll_ctl(s->epoll_fd, EPOLL_CTL_DEL, w->ref.fd, NULL);
	es_watch_put(w);
}
