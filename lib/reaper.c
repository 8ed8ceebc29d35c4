/* SPDX-License-Identifier: Apache-2.0 */
/* Reaps the processes of ours that serve streams, and tells when one has ended badly. */
#include "reaper.h"

#include <pthread.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/queue.h>
#include <sys/wait.h>

#include "log.h"

struct entry {
	struct es_pidref process;
	char *what;
	TAILQ_ENTRY(entry) link;
};

struct es_reaper {
	int epoll_fd;
	pthread_mutex_t lock; /* of the list */
	TAILQ_HEAD(entries, entry) entries;
};

int es_reaper_open(struct es_reaper **ret)
{
	struct es_reaper *reaper = calloc(1, sizeof(*reaper));
	int r;

	if (!reaper)
		return -ENOMEM;
	reaper->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (reaper->epoll_fd < 0) {
		r = es_neg_errno();
		free(reaper);
		return r;
	}
	pthread_mutex_init(&reaper->lock, NULL);
	TAILQ_INIT(&reaper->entries);
	*ret = reaper;
	return 0;
}

static void entry_free(struct entry *e)
{
	es_pidref_close(&e->process);
	free(e->what);
	free(e);
}

void es_reaper_close(struct es_reaper *reaper)
{
	struct entry *e;

	if (!reaper)
		return;
	while ((e = TAILQ_FIRST(&reaper->entries))) {
		TAILQ_REMOVE(&reaper->entries, e, link);
		entry_free(e);
	}
	es_close(reaper->epoll_fd);
	pthread_mutex_destroy(&reaper->lock);
	free(reaper);
}

int es_reaper_fd(const struct es_reaper *reaper)
{
	return reaper->epoll_fd;
}

int es_reaper_add(struct es_reaper *reaper, struct es_pidref *process, const char *what)
{
	struct entry *e = calloc(1, sizeof(*e));
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = e };
	int r = 0;

	if (!e) {
		es_pidref_close(process);
		return -ENOMEM;
	}
	e->process = *process;
	*process = ES_PIDREF_UNSET;
	e->what = strdup(what);
	pthread_mutex_lock(&reaper->lock);
	if (!e->what)
		r = -ENOMEM;
	else if (epoll_ctl(reaper->epoll_fd, EPOLL_CTL_ADD, e->process.fd, &event) < 0)
		r = es_neg_errno();
	else
		TAILQ_INSERT_TAIL(&reaper->entries, e, link);
	pthread_mutex_unlock(&reaper->lock);
	if (r < 0)
		entry_free(e);
	return r;
}

/* One that has ended, taken out; NULL: none has. */
static struct entry *take_ended(struct es_reaper *reaper)
{
	struct epoll_event event;
	struct entry *e = NULL;

	pthread_mutex_lock(&reaper->lock);
	if (epoll_wait(reaper->epoll_fd, &event, 1, 0) > 0) {
		e = event.data.ptr;
		epoll_ctl(reaper->epoll_fd, EPOLL_CTL_DEL, e->process.fd, NULL);
		TAILQ_REMOVE(&reaper->entries, e, link);
	}
	pthread_mutex_unlock(&reaper->lock);
	return e;
}

void es_reaper_run(struct es_reaper *reaper)
{
	struct entry *e;
	int status;

	while ((e = take_ended(reaper))) {
		if (es_pidref_take_status(&e->process, true, &status) == 0 && status != 0)
			es_log(ES_LOG_WARNING, "%s (process %d) %s %d", e->what, e->process.pid,
			       WIFSIGNALED(status) ? "was killed by signal" : "exited with",
			       WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
		entry_free(e);
	}
}
