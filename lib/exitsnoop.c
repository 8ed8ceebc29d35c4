/* SPDX-License-Identifier: Apache-2.0 */
/* Exit records in the kernel: reserve, follow, resolve, attach, look up. */
#include "exitsnoop.h"

#include <bpf/bpf.h>
#include <pthread.h>
#include <string.h>

#include "bpf_dir.h"
#include "error.h"
#include "exit_status.h"
#include "exitsnoop_maps.h"
#include "exitsnoop_pins.h"

_Static_assert(ES_EXITSNOOP_FOLLOW_MAX == EXITSNOOP_FOLLOW_SLOTS, "one limit, two names");

struct es_exitsnoop {
	struct es_bpf_dir dir;
	struct es_exitsnoop_pins pins;
	struct es_oom_watch *oom;
	pthread_mutex_t attach_lock; /* the map `attach` has room for one request */
};

/* Open and close */

int es_exitsnoop_open(const struct es_exitsnoop_opts *opts, struct es_exitsnoop **ret)
{
	struct es_bpf_dir_opts dir_opts = { .root_dir = opts->root_dir,
					    .bpf_dir = opts->bpf_dir,
					    .require_persistent = opts->require_persistent,
					    .error = opts->error };
	struct es_exitsnoop *s;
	int r;

	s = calloc(1, sizeof(*s));
	if (!s)
		return -ENOMEM;
	r = es_bpf_dir_open(&s->dir, &dir_opts);
	if (r < 0) {
		free(s);
		return r;
	}
	r = es_exitsnoop_pins_open(&s->pins, s->dir.path, opts->capacity, ES_EXITSNOOP_CAPACITY,
				   opts->error);
	if (r < 0) {
		/* Only what is empty goes: records in use keep their directory and mount. */
		es_bpf_dir_remove(&s->dir);
		es_bpf_dir_clear(&s->dir);
		free(s);
		return r;
	}
	pthread_mutex_init(&s->attach_lock, NULL);
	r = es_oom_watch_open(&s->pins, &s->oom);
	if (r < 0) {
		es_exitsnoop_close(s);
		return es_error_set_errno(opts->error, r, "cannot watch for OOM kills");
	}
	*ret = s;
	return 0;
}

void es_exitsnoop_close(struct es_exitsnoop *s)
{
	if (!s)
		return;
	es_oom_watch_close(s->oom);
	es_exitsnoop_pins_close(&s->pins);
	es_bpf_dir_clear(&s->dir);
	pthread_mutex_destroy(&s->attach_lock);
	free(s);
}

void es_exitsnoop_close_and_unpin(struct es_exitsnoop *s)
{
	es_exitsnoop_pins_remove(s->dir.path);
	es_bpf_dir_remove(&s->dir);
	es_exitsnoop_close(s);
}

struct es_oom_watch *es_exitsnoop_oom(const struct es_exitsnoop *s)
{
	return s->oom;
}

const char *es_exitsnoop_warning(const struct es_exitsnoop *s)
{
	return *s->dir.warning ? s->dir.warning : NULL;
}

const char *es_exitsnoop_pin_dir(const struct es_exitsnoop *s)
{
	return s->dir.path;
}

uint32_t es_exitsnoop_capacity(const struct es_exitsnoop *s)
{
	return s->pins.capacity;
}

/* Slots */

int es_exitsnoop_reserve(struct es_exitsnoop *s, uint64_t trace_id)
{
	struct exitsnoop_record record = { .state = EXITSNOOP_RESERVED };

	if (bpf_map_update_elem(s->pins.maps[ES_MAP_EXITS], &trace_id, &record, BPF_NOEXIST) == 0)
		return 0;
	return errno == E2BIG ? -ENOSPC : es_neg_errno();
}

/* The mark of a live process, so that its exit does not look for the slot any more. */
static void remove_mark(struct es_exitsnoop *s, uint64_t trace_id, uint32_t tgid)
{
	struct exitsnoop_mark mark;

	if (bpf_map_lookup_elem(s->pins.maps[ES_MAP_MARKS], &tgid, &mark) == 0 &&
	    mark.trace_id == trace_id)
		bpf_map_delete_elem(s->pins.maps[ES_MAP_MARKS], &tgid);
}

int es_exitsnoop_release(struct es_exitsnoop *s, uint64_t trace_id)
{
	struct exitsnoop_record record;
	int r;

	r = es_exitsnoop_unfollow(s, trace_id);
	if (bpf_map_lookup_elem(s->pins.maps[ES_MAP_EXITS], &trace_id, &record) < 0)
		return r;
	if (record.state == EXITSNOOP_ALIVE)
		remove_mark(s, trace_id, record.tgid);
	if (bpf_map_delete_elem(s->pins.maps[ES_MAP_EXITS], &trace_id) < 0 && errno != ENOENT)
		return es_neg_errno();
	return r;
}

static void fill_exit(const struct exitsnoop_record *record, uint64_t trace_id, struct es_exit *ret)
{
	memset(ret, 0, sizeof(*ret));
	ret->trace_id = trace_id;
	ret->pid = (int32_t)record->pid;
	ret->started_boot_ns = record->start_ns;
	memcpy(ret->comm, record->comm, sizeof(ret->comm) - 1);
	if (record->state != EXITSNOOP_EXITED)
		return;
	ret->exited_boot_ns = record->end_ns;
	ret->peak_rss_bytes = record->peak_rss_pages * (uint64_t)sysconf(_SC_PAGESIZE);
	ret->user_ns = record->user_ns;
	ret->system_ns = record->system_ns;
	ret->cgroup_id = record->cgroup_id;
	ret->source = ES_EXIT_BPF;
	if (record->flags & EXITSNOOP_OOM)
		ret->flags |= ES_EXIT_OOM;
	es_exit_set_status(ret, record->status);
}

int es_exitsnoop_lookup(struct es_exitsnoop *s, uint64_t trace_id, struct es_exit *ret)
{
	struct exitsnoop_record record;

	if (bpf_map_lookup_elem(s->pins.maps[ES_MAP_EXITS], &trace_id, &record) < 0)
		return es_neg_errno();
	fill_exit(&record, trace_id, ret);
	es_exit_set_real_times(ret);
	return record.state == EXITSNOOP_EXITED ? 0 : -EAGAIN;
}

/* Follow */

int es_exitsnoop_follow(struct es_exitsnoop *s, uint64_t trace_id)
{
	struct exitsnoop_follow follow = { 0 };

	if (bpf_map_update_elem(s->pins.maps[ES_MAP_FOLLOWS], &trace_id, &follow, BPF_NOEXIST) == 0)
		return 0;
	return errno == E2BIG ? -ENOSPC : es_neg_errno();
}

int es_exitsnoop_mark_prog_fd(const struct es_exitsnoop *s)
{
	return s->pins.progs[ES_PROG_MARK_SELF];
}

static int run_resolve(struct es_exitsnoop *s, uint64_t trace_id, uint32_t pid)
{
	uint64_t args[2] = { trace_id, pid };
	LIBBPF_OPTS(bpf_test_run_opts, run, .ctx_in = args, .ctx_size_in = sizeof(args));

	if (bpf_prog_test_run_opts(s->pins.progs[ES_PROG_RESOLVE], &run) < 0)
		return es_neg_errno();
	return (int)run.retval;
}

int es_exitsnoop_resolve(struct es_exitsnoop *s, uint64_t trace_id, pid_t pid)
{
	int r = run_resolve(s, trace_id, (uint32_t)pid);

	return r == EXITSNOOP_RESOLVE_UNKNOWN ? -ESRCH : r < 0 ? r : 0;
}

int es_exitsnoop_unfollow(struct es_exitsnoop *s, uint64_t trace_id)
{
	struct exitsnoop_followed_key key = { .trace_id = trace_id };
	struct exitsnoop_record record;

	/* An exit on another CPU may not have seen that it was resolved: look once more. */
	if (bpf_map_lookup_elem(s->pins.maps[ES_MAP_EXITS], &trace_id, &record) == 0 &&
	    record.state == EXITSNOOP_ALIVE)
		run_resolve(s, trace_id, record.pid);
	if (bpf_map_delete_elem(s->pins.maps[ES_MAP_FOLLOWS], &trace_id) < 0 && errno != ENOENT)
		return es_neg_errno();
	for (key.slot = 0; key.slot < EXITSNOOP_FOLLOW_SLOTS; key.slot++)
		if (bpf_map_delete_elem(s->pins.maps[ES_MAP_FOLLOWED], &key) < 0)
			break;
	return 0;
}

int es_exitsnoop_followed(struct es_exitsnoop *s, uint64_t trace_id,
			  struct es_exitsnoop_process procs[ES_EXITSNOOP_FOLLOW_MAX],
			  bool *overflow)
{
	struct exitsnoop_followed_key key = { .trace_id = trace_id };
	struct exitsnoop_record record;
	struct exitsnoop_follow follow;
	int n = 0;

	if (bpf_map_lookup_elem(s->pins.maps[ES_MAP_FOLLOWS], &trace_id, &follow) < 0)
		return es_neg_errno();
	*overflow = follow.overflow != 0;
	for (; key.slot < EXITSNOOP_FOLLOW_SLOTS; key.slot++, n++) {
		if (bpf_map_lookup_elem(s->pins.maps[ES_MAP_FOLLOWED], &key, &record) < 0)
			break;
		procs[n] = (struct es_exitsnoop_process){
			.pid = (pid_t)record.pid,
			.exited = record.state == EXITSNOOP_EXITED,
			.status = record.status,
			.start_boot_ns = record.start_ns,
		};
	}
	return n;
}

/* Attach */

/* Run the iterator: over one task where the kernel can (6.1), over all otherwise. */
static int run_iterator(struct es_exitsnoop *s, pid_t pid)
{
	union bpf_iter_link_info info = { .task.tid = (uint32_t)pid };
	LIBBPF_OPTS(bpf_link_create_opts, opts, .iter_info = &info, .iter_info_len = sizeof(info));
	int prog_fd = s->pins.progs[ES_PROG_ATTACH];
	cleanup_fd int link_fd = -EBADF, fd = -EBADF;
	char nothing[64];
	ssize_t n;

	link_fd = bpf_link_create(prog_fd, 0, BPF_TRACE_ITER, &opts);
	if (link_fd < 0 && errno == ESRCH)
		return -ESRCH;
	if (link_fd < 0)
		link_fd = bpf_link_create(prog_fd, 0, BPF_TRACE_ITER, NULL);
	if (link_fd < 0)
		return es_neg_errno();
	fd = bpf_iter_create(link_fd);
	if (fd < 0)
		return es_neg_errno();
	do
		n = read(fd, nothing, sizeof(nothing));
	while (n > 0 || (n < 0 && (errno == EINTR || errno == EAGAIN)));
	return n < 0 ? es_neg_errno() : 0;
}

static int attach_result(int result)
{
	switch (result) {
	case EXITSNOOP_ATTACH_DONE:
		return 0;
	case EXITSNOOP_ATTACH_TAKEN:
		return -EEXIST;
	case EXITSNOOP_ATTACH_NO_SLOT:
		return -EBUSY;
	case EXITSNOOP_ATTACH_FULL:
		return -ENOSPC;
	default:
		return -ESRCH;
	}
}

int es_exitsnoop_attach(struct es_exitsnoop *s, uint64_t trace_id, pid_t pid)
{
	struct exitsnoop_attach request = { .trace_id = trace_id, .pid = (uint32_t)pid };
	int fd = s->pins.maps[ES_MAP_ATTACH];
	uint32_t zero = 0;
	int r = 0;

	pthread_mutex_lock(&s->attach_lock);
	if (bpf_map_update_elem(fd, &zero, &request, BPF_ANY) < 0)
		r = es_neg_errno();
	if (r == 0)
		r = run_iterator(s, pid);
	if (r == 0)
		r = bpf_map_lookup_elem(fd, &zero, &request) < 0 ? es_neg_errno()
								 : attach_result(request.result);
	pthread_mutex_unlock(&s->attach_lock);
	return r;
}

/* List */

struct id_list {
	uint64_t *ids;
	size_t n, size;
};

static int append_id(struct id_list *list, uint64_t id)
{
	uint64_t *ids;

	if (list->n == list->size) {
		size_t size = list->size ? list->size * 2 : 256;

		ids = realloc(list->ids, size * sizeof(*ids));
		if (!ids)
			return -ENOMEM;
		list->ids = ids;
		list->size = size;
	}
	list->ids[list->n++] = id;
	return 0;
}

/*
 * Add the trace IDs of one map; its keys begin with them. By batches: a walk by get_next_key skips
 * entries while others come and go.
 */
static int list_map(struct id_list *list, int fd, size_t key_size, size_t value_size)
{
	enum { BATCH = 512 };
	cleanup_free unsigned char *keys = malloc(BATCH * key_size);
	cleanup_free unsigned char *values = malloc(BATCH * value_size);
	uint64_t id;
	uint32_t in = 0, out = 0, count, *position = NULL;
	bool last = false;
	int r = 0;

	if (!keys || !values)
		return -ENOMEM;
	while (r == 0 && !last) {
		count = BATCH;
		if (bpf_map_lookup_batch(fd, position, &out, keys, values, &count, NULL) < 0) {
			/* ENOSPC: a bucket with more entries than fit, which 512 make impossible.
			 */
			if (errno != ENOENT)
				return es_neg_errno();
			last = true;
		}
		for (uint32_t i = 0; r == 0 && i < count; i++) {
			memcpy(&id, keys + i * key_size, sizeof(id));
			r = append_id(list, id);
		}
		in = out;
		position = &in;
	}
	return r;
}

int es_exitsnoop_list(struct es_exitsnoop *s, uint64_t **ret)
{
	struct id_list list = { 0 };
	int r;

	r = list_map(&list, s->pins.maps[ES_MAP_EXITS], 8, sizeof(struct exitsnoop_record));
	if (r == 0)
		r = list_map(&list, s->pins.maps[ES_MAP_FOLLOWS], 8,
			     sizeof(struct exitsnoop_follow));
	if (r == 0)
		r = list_map(&list, s->pins.maps[ES_MAP_FOLLOWED],
			     sizeof(struct exitsnoop_followed_key),
			     sizeof(struct exitsnoop_record));
	if (r < 0) {
		free(list.ids);
		return r;
	}
	*ret = list.ids;
	return (int)list.n;
}
