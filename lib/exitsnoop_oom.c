/* SPDX-License-Identifier: Apache-2.0 */
/* OOM kills in the cgroups of tasks: counted by BPF, told to the caller once. */
#include "exitsnoop_oom.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <pthread.h>

#include "exitsnoop_maps.h"

#define BATCH 512

struct es_oom_watch {
	int cgroups_fd, seen_fd; /* borrowed */
	struct ring_buffer *wakeups;
	pthread_mutex_t lock; /* protects what follows */
	bool scan;	      /* something may be counted that no scan has seen */
	uint64_t *found;      /* cgroup IDs of the last scan that have something to take */
	size_t n_found;
};

/* A wake-up says only that it is time for a scan. */
static int ignore_wakeup(void *arg, void *data, size_t size)
{
	(void)arg, (void)data, (void)size;
	return 0;
}

int es_oom_watch_open(const struct es_exitsnoop_pins *pins, struct es_oom_watch **ret)
{
	struct es_oom_watch *w = calloc(1, sizeof(*w));

	if (!w)
		return -ENOMEM;
	w->cgroups_fd = pins->maps[ES_MAP_CGROUPS];
	w->seen_fd = pins->maps[ES_MAP_OOM_SEEN];
	pthread_mutex_init(&w->lock, NULL);
	/* What a manager before us did not come to take. */
	w->scan = true;
	w->wakeups = ring_buffer__new(pins->maps[ES_MAP_WAKEUPS], ignore_wakeup, NULL, NULL);
	if (!w->wakeups) {
		int r = es_neg_errno();

		es_oom_watch_close(w);
		return r;
	}
	*ret = w;
	return 0;
}

void es_oom_watch_close(struct es_oom_watch *w)
{
	if (!w)
		return;
	ring_buffer__free(w->wakeups);
	pthread_mutex_destroy(&w->lock);
	free(w->found);
	free(w);
}

int es_oom_watch_fd(const struct es_oom_watch *w)
{
	return ring_buffer__epoll_fd(w->wakeups);
}

int es_oom_watch_add(struct es_oom_watch *w, uint64_t cgroup_id, uint64_t trace_id)
{
	struct exitsnoop_cgroup cgroup = { .trace_id = trace_id };

	if (bpf_map_update_elem(w->cgroups_fd, &cgroup_id, &cgroup, BPF_NOEXIST) == 0)
		return 0;
	if (errno == E2BIG)
		return -ENOSPC;
	if (errno == EEXIST && bpf_map_lookup_elem(w->cgroups_fd, &cgroup_id, &cgroup) == 0)
		return cgroup.trace_id == trace_id ? 0 : -EEXIST;
	return es_neg_errno();
}

void es_oom_watch_remove(struct es_oom_watch *w, uint64_t cgroup_id)
{
	bpf_map_delete_elem(w->cgroups_fd, &cgroup_id);
	bpf_map_delete_elem(w->seen_fd, &cgroup_id);
}

/* Kills that were not taken before. */
static uint64_t untaken(const struct es_oom_watch *w, uint64_t cgroup_id,
			const struct exitsnoop_cgroup *cgroup)
{
	uint64_t seen = 0;

	if (cgroup->oom_kills)
		bpf_map_lookup_elem(w->seen_fd, &cgroup_id, &seen);
	return cgroup->oom_kills - seen;
}

/* Call with the lock held: of two threads one takes. */
static bool take(struct es_oom_watch *w, uint64_t cgroup_id, uint64_t *trace_id)
{
	struct exitsnoop_cgroup cgroup;

	if (bpf_map_lookup_elem(w->cgroups_fd, &cgroup_id, &cgroup) < 0 ||
	    untaken(w, cgroup_id, &cgroup) == 0)
		return false;
	bpf_map_update_elem(w->seen_fd, &cgroup_id, &cgroup.oom_kills, BPF_ANY);
	*trace_id = cgroup.trace_id;
	return true;
}

bool es_oom_watch_take(struct es_oom_watch *w, uint64_t cgroup_id)
{
	uint64_t trace_id;
	bool taken;

	pthread_mutex_lock(&w->lock);
	taken = take(w, cgroup_id, &trace_id);
	pthread_mutex_unlock(&w->lock);
	return taken;
}

/* Call fn for every watched cgroup until it says no. By batches: see es_exitsnoop_list(). */
static int each_cgroup(struct es_oom_watch *w,
		       bool (*fn)(struct es_oom_watch *, uint64_t, const struct exitsnoop_cgroup *,
				  void *),
		       void *arg)
{
	cleanup_free uint64_t *ids = malloc(BATCH * sizeof(*ids));
	cleanup_free struct exitsnoop_cgroup *cgroups = malloc(BATCH * sizeof(*cgroups));
	uint32_t in = 0, out = 0, count, *position = NULL;
	bool last = false;

	if (!ids || !cgroups)
		return -ENOMEM;
	while (!last) {
		count = BATCH;
		if (bpf_map_lookup_batch(w->cgroups_fd, position, &out, ids, cgroups, &count,
					 NULL) < 0) {
			if (errno != ENOENT)
				return es_neg_errno();
			last = true;
		}
		for (uint32_t i = 0; i < count; i++)
			if (!fn(w, ids[i], &cgroups[i], arg))
				return -ENOMEM;
		in = out;
		position = &in;
	}
	return 0;
}

static bool note_untaken(struct es_oom_watch *w, uint64_t cgroup_id,
			 const struct exitsnoop_cgroup *cgroup, void *arg)
{
	uint64_t *found;

	(void)arg;
	if (untaken(w, cgroup_id, cgroup) == 0)
		return true;
	found = realloc(w->found, (w->n_found + 1) * sizeof(*found));
	if (!found)
		return false;
	w->found = found;
	found[w->n_found++] = cgroup_id;
	return true;
}

/* Call with the lock held. */
static int scan(struct es_oom_watch *w)
{
	/* First the wake-ups, then the look: what is counted in between wakes again. */
	if (ring_buffer__consume(w->wakeups) > 0)
		w->scan = true;
	if (!w->scan || w->n_found > 0)
		return 0;
	w->scan = false;
	return each_cgroup(w, note_untaken, NULL);
}

bool es_oom_watch_pending(struct es_oom_watch *w)
{
	bool pending;

	pthread_mutex_lock(&w->lock);
	scan(w);
	pending = w->n_found > 0;
	pthread_mutex_unlock(&w->lock);
	return pending;
}

int es_oom_watch_next(struct es_oom_watch *w, uint64_t *trace_id)
{
	int r;

	pthread_mutex_lock(&w->lock);
	r = scan(w);
	while (r == 0 && w->n_found > 0)
		r = take(w, w->found[--w->n_found], trace_id);
	pthread_mutex_unlock(&w->lock);
	return r;
}

struct pruning {
	bool (*keep)(uint64_t trace_id, void *arg);
	void *arg;
};

static bool prune_one(struct es_oom_watch *w, uint64_t cgroup_id,
		      const struct exitsnoop_cgroup *cgroup, void *arg)
{
	const struct pruning *p = arg;

	if (!p->keep(cgroup->trace_id, p->arg))
		es_oom_watch_remove(w, cgroup_id);
	return true;
}

void es_oom_watch_prune(struct es_oom_watch *w, bool (*keep)(uint64_t trace_id, void *arg),
			void *arg)
{
	struct pruning p = { .keep = keep, .arg = arg };

	each_cgroup(w, prune_one, &p);
}
