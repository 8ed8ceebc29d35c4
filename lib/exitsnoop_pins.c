/* SPDX-License-Identifier: Apache-2.0 */
/* The BPF objects of exitsnoop as descriptors: take over pinned ones, load and pin others. */
#include "exitsnoop_pins.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdbool.h>
#include <string.h>

#include "error.h"
#include "exitsnoop.skel.h"
#include "exitsnoop_maps.h"
#include "log.h"
#include "step.h"

uint64_t es_exitsnoop_build_salt;

/* Names of pins: bpffs refuses dots in them. */
static const char *const map_pins[ES_MAP_COUNT] = {
	[ES_MAP_EXITS] = "exits",     [ES_MAP_MARKS] = "marks",
	[ES_MAP_FOLLOWS] = "follows", [ES_MAP_FOLLOWED] = "followed",
	[ES_MAP_CGROUPS] = "cgroups", [ES_MAP_OOM_SEEN] = "oom_seen",
	[ES_MAP_WAKEUPS] = "wakeups", [ES_MAP_CONFIG] = "config",
	[ES_MAP_ATTACH] = "attach",
};
static const char *const prog_pins[ES_PROG_COUNT] = {
	[ES_PROG_MARK_SELF] = "prog_mark_self",
	[ES_PROG_RESOLVE] = "prog_resolve",
	[ES_PROG_ATTACH] = "prog_attach",
};
static const char *const link_pins[ES_LINK_COUNT] = {
	[ES_LINK_EXIT] = "link_exit",
	[ES_LINK_FORK] = "link_fork",
};

#define NEW_SUFFIX "_new"

/* One load at a time in this process: libbpf's print callback is process-wide. */
static pthread_mutex_t load_lock = PTHREAD_MUTEX_INITIALIZER;
static char load_messages[1024];

static ES_PRINTF(2, 0) int keep_message(enum libbpf_print_level level, const char *fmt,
					va_list args)
{
	size_t n = strlen(load_messages);

	if (level == LIBBPF_WARN && n + 1 < sizeof(load_messages))
		vsnprintf(load_messages + n, sizeof(load_messages) - n, fmt, args);
	return 0;
}

static int pin_path(char *ret, size_t size, const char *dir, const char *name, const char *suffix)
{
	int n = snprintf(ret, size, "%s/%s%s", dir, name, suffix);

	return n < 0 || (size_t)n >= size ? -ENAMETOOLONG : 0;
}

static int open_pin(const char *dir, const char *name)
{
	char path[PATH_MAX];
	int r;

	r = pin_path(path, sizeof(path), dir, name, "");
	if (r < 0)
		return r;
	r = bpf_obj_get(path);
	return r < 0 ? -errno : r;
}

static void unlink_pin(const char *dir, const char *name, const char *suffix)
{
	char path[PATH_MAX];

	if (pin_path(path, sizeof(path), dir, name, suffix) == 0 && unlink(path) == 0)
		es_step("unpin.pin");
}

/* Links first: nothing runs on maps that are going away. */
static void remove_pins(const char *dir, const char *suffix)
{
	for (size_t i = 0; i < ES_LINK_COUNT; i++)
		unlink_pin(dir, link_pins[i], suffix);
	for (size_t i = 0; i < ES_PROG_COUNT; i++)
		unlink_pin(dir, prog_pins[i], suffix);
	for (size_t i = 0; i < ES_MAP_COUNT; i++)
		unlink_pin(dir, map_pins[i], suffix);
}

void es_exitsnoop_pins_remove(const char *dir)
{
	remove_pins(dir, NEW_SUFFIX);
	remove_pins(dir, "");
}

static void close_all(int *fds, size_t n)
{
	for (size_t i = 0; i < n; i++)
		es_close(TAKE_FD(fds[i]));
}

void es_exitsnoop_pins_close(struct es_exitsnoop_pins *pins)
{
	close_all(pins->links, ES_LINK_COUNT);
	close_all(pins->progs, ES_PROG_COUNT);
	close_all(pins->maps, ES_MAP_COUNT);
}

static void set_unset(struct es_exitsnoop_pins *pins)
{
	for (size_t i = 0; i < ES_MAP_COUNT; i++)
		pins->maps[i] = -EBADF;
	for (size_t i = 0; i < ES_PROG_COUNT; i++)
		pins->progs[i] = -EBADF;
	for (size_t i = 0; i < ES_LINK_COUNT; i++)
		pins->links[i] = -EBADF;
}

static uint64_t build_hash(void)
{
	uint64_t hash = 14695981039346656037ULL ^ es_exitsnoop_build_salt;
	const unsigned char *object;
	size_t size;

	object = exitsnoop_bpf__elf_bytes(&size);
	for (size_t i = 0; i < size; i++)
		hash = (hash ^ object[i]) * 1099511628211ULL;
	return hash;
}

/* Take over pins */

static bool is_map_of_ours(enum es_exitsnoop_map map, int fd, uint32_t *max_entries)
{
	static const struct {
		uint32_t type, key_size, value_size;
	} shape[ES_MAP_COUNT] = {
		[ES_MAP_EXITS] = { BPF_MAP_TYPE_HASH, 8, sizeof(struct exitsnoop_record) },
		[ES_MAP_MARKS] = { BPF_MAP_TYPE_HASH, 4, sizeof(struct exitsnoop_mark) },
		[ES_MAP_FOLLOWS] = { BPF_MAP_TYPE_HASH, 8, sizeof(struct exitsnoop_follow) },
		[ES_MAP_FOLLOWED] = { BPF_MAP_TYPE_HASH, sizeof(struct exitsnoop_followed_key),
				      sizeof(struct exitsnoop_record) },
		[ES_MAP_CGROUPS] = { BPF_MAP_TYPE_HASH, 8, sizeof(struct exitsnoop_cgroup) },
		[ES_MAP_OOM_SEEN] = { BPF_MAP_TYPE_HASH, 8, 8 },
		[ES_MAP_WAKEUPS] = { BPF_MAP_TYPE_RINGBUF, 0, 0 },
		[ES_MAP_CONFIG] = { BPF_MAP_TYPE_ARRAY, 4, sizeof(struct exitsnoop_config) },
		[ES_MAP_ATTACH] = { BPF_MAP_TYPE_ARRAY, 4, sizeof(struct exitsnoop_attach) },
	};
	struct bpf_map_info info = { 0 };
	uint32_t size = sizeof(info);

	if (bpf_obj_get_info_by_fd(fd, &info, &size) < 0 || info.type != shape[map].type ||
	    info.key_size != shape[map].key_size || info.value_size != shape[map].value_size)
		return false;
	*max_entries = info.max_entries;
	return true;
}

static int read_config(int fd, struct exitsnoop_config *ret)
{
	uint32_t zero = 0;

	memset(ret, 0, sizeof(*ret));
	return fd < 0 ? -ENOENT : bpf_map_lookup_elem(fd, &zero, ret);
}

static int write_config(int fd, uint32_t capacity, uint64_t build)
{
	struct exitsnoop_config config = { .layout = EXITSNOOP_LAYOUT,
					   .capacity = capacity,
					   .build = build };
	uint32_t zero = 0;

	return bpf_map_update_elem(fd, &zero, &config, BPF_ANY) < 0 ? -errno : 0;
}

/*
 * The maps that are there. Without a complete set-up nothing can have been recorded, so what a
 * crash left is dropped; so is a map that is not of this layout.
 */
static bool take_over_maps(struct es_exitsnoop_pins *pins, const char *dir)
{
	struct exitsnoop_config config;
	uint32_t entries;

	for (size_t i = 0; i < ES_MAP_COUNT; i++) {
		int fd = open_pin(dir, map_pins[i]);

		if (fd >= 0 && !is_map_of_ours((enum es_exitsnoop_map)i, fd, &entries)) {
			es_close(fd);
			unlink_pin(dir, map_pins[i], "");
			continue;
		}
		if (fd >= 0 && i == ES_MAP_EXITS)
			pins->capacity = entries;
		pins->maps[i] = fd >= 0 ? fd : -EBADF;
	}
	if (read_config(pins->maps[ES_MAP_CONFIG], &config) < 0 ||
	    config.layout != EXITSNOOP_LAYOUT) {
		close_all(pins->maps, ES_MAP_COUNT);
		es_exitsnoop_pins_remove(dir);
		return false;
	}
	return true;
}

/* Whether programs of this build are pinned and attached on a full set of maps. */
static bool take_over_programs(struct es_exitsnoop_pins *pins, const char *dir)
{
	struct exitsnoop_config config;

	for (size_t i = 0; i < ES_MAP_COUNT; i++)
		if (pins->maps[i] < 0)
			return false;
	if (read_config(pins->maps[ES_MAP_CONFIG], &config) < 0 || config.build != build_hash())
		return false;
	for (size_t i = 0; i < ES_PROG_COUNT; i++) {
		int fd = open_pin(dir, prog_pins[i]);

		pins->progs[i] = fd >= 0 ? fd : -EBADF;
	}
	for (size_t i = 0; i < ES_LINK_COUNT; i++) {
		int fd = open_pin(dir, link_pins[i]);

		pins->links[i] = fd >= 0 ? fd : -EBADF;
	}
	for (size_t i = 0; i < ES_PROG_COUNT; i++)
		if (pins->progs[i] < 0)
			return false;
	for (size_t i = 0; i < ES_LINK_COUNT; i++)
		if (pins->links[i] < 0)
			return false;
	return true;
}

static bool is_in_use(int exits_fd)
{
	uint64_t key;

	return exits_fd >= 0 && bpf_map_get_next_key(exits_fd, NULL, &key) == 0;
}

/* Load and pin */

static struct bpf_map *map_of(struct exitsnoop_bpf *skel, enum es_exitsnoop_map map)
{
	struct bpf_map *const maps[ES_MAP_COUNT] = {
		[ES_MAP_EXITS] = skel->maps.exits,     [ES_MAP_MARKS] = skel->maps.marks,
		[ES_MAP_FOLLOWS] = skel->maps.follows, [ES_MAP_FOLLOWED] = skel->maps.followed,
		[ES_MAP_CGROUPS] = skel->maps.cgroups, [ES_MAP_OOM_SEEN] = skel->maps.oom_seen,
		[ES_MAP_WAKEUPS] = skel->maps.wakeups, [ES_MAP_CONFIG] = skel->maps.config,
		[ES_MAP_ATTACH] = skel->maps.attach,
	};

	return maps[map];
}

static int pin_fd(int fd, const char *dir, const char *name, bool replace)
{
	char path[PATH_MAX], target[PATH_MAX];
	int r;

	if ((r = pin_path(target, sizeof(target), dir, name, "")) < 0 ||
	    (r = pin_path(path, sizeof(path), dir, name, replace ? NEW_SUFFIX : "")) < 0)
		return r;
	if (bpf_obj_pin(fd, path) < 0)
		return -errno;
	es_step("pin.pinned");
	/* rename(2) drops the old pin in the same step: there is no moment without one. */
	if (replace && rename(path, target) < 0)
		return es_neg_errno();
	if (replace)
		es_step("pin.renamed");
	return 0;
}

static int dup_cloexec(int fd)
{
	int r = fcntl(fd, F_DUPFD_CLOEXEC, 3);

	return r < 0 ? es_neg_errno() : r;
}

/* A close-on-exec copy of libbpf's descriptor, pinned. */
static int keep_and_pin(int *ret, int fd, const char *dir, const char *name)
{
	es_close(TAKE_FD(*ret));
	*ret = dup_cloexec(fd);
	return *ret < 0 ? *ret : pin_fd(fd, dir, name, true);
}

/* Of a map whose size depends on the capacity; 0: it is fixed. */
static uint32_t max_entries(const struct es_exitsnoop_pins *pins, enum es_exitsnoop_map map)
{
	switch (map) {
	case ES_MAP_EXITS:
	case ES_MAP_CGROUPS:
	case ES_MAP_OOM_SEEN:
		return pins->capacity;
	case ES_MAP_MARKS:
		return pins->capacity + EXITSNOOP_FOLLOWED;
	default:
		return 0;
	}
}

static int set_up_maps(struct es_exitsnoop_pins *pins, struct exitsnoop_bpf *skel)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < ES_MAP_COUNT; i++)
		if (pins->maps[i] >= 0)
			r = bpf_map__reuse_fd(map_of(skel, (enum es_exitsnoop_map)i),
					      pins->maps[i]);
	for (size_t i = 0; r == 0 && i < ES_MAP_COUNT; i++)
		if (pins->maps[i] < 0 && max_entries(pins, (enum es_exitsnoop_map)i))
			r = bpf_map__set_max_entries(map_of(skel, (enum es_exitsnoop_map)i),
						     max_entries(pins, (enum es_exitsnoop_map)i));
	return r;
}

static int pin_maps(struct es_exitsnoop_pins *pins, struct exitsnoop_bpf *skel, const char *dir)
{
	int r;

	for (size_t i = 0; i < ES_MAP_COUNT; i++) {
		if (pins->maps[i] >= 0)
			continue;
		r = keep_and_pin(&pins->maps[i],
				 bpf_map__fd(map_of(skel, (enum es_exitsnoop_map)i)), dir,
				 map_pins[i]);
		if (r < 0)
			return r;
	}
	return 0;
}

static int attach_and_pin(struct es_exitsnoop_pins *pins, struct exitsnoop_bpf *skel,
			  const char *dir)
{
	struct bpf_program *const programs[ES_LINK_COUNT] = {
		[ES_LINK_EXIT] = skel->progs.on_exit,
		[ES_LINK_FORK] = skel->progs.on_fork,
	};
	int r;

	/* The exit program first: what the fork program marks must be seen to end. */
	for (size_t i = 0; i < ES_LINK_COUNT; i++) {
		struct bpf_link *link = bpf_program__attach(programs[i]);

		if (!link)
			return -errno;
		es_step("pin.attached");
		r = keep_and_pin(&pins->links[i], bpf_link__fd(link), dir, link_pins[i]);
		bpf_link__destroy(link);
		if (r < 0)
			return r;
	}
	return 0;
}

static int pin_all(struct es_exitsnoop_pins *pins, struct exitsnoop_bpf *skel, const char *dir)
{
	struct bpf_program *const programs[ES_PROG_COUNT] = {
		[ES_PROG_MARK_SELF] = skel->progs.mark_self,
		[ES_PROG_RESOLVE] = skel->progs.resolve,
		[ES_PROG_ATTACH] = skel->progs.attach_task,
	};
	int r;

	r = pin_maps(pins, skel, dir);
	for (size_t i = 0; r == 0 && i < ES_PROG_COUNT; i++)
		r = keep_and_pin(&pins->progs[i], bpf_program__fd(programs[i]), dir, prog_pins[i]);
	if (r == 0)
		r = attach_and_pin(pins, skel, dir);
	if (r == 0)
		r = write_config(pins->maps[ES_MAP_CONFIG], pins->capacity, build_hash());
	es_step("pin.complete");
	return r;
}

/* Why the kernel refused, as far as that can be told. */
static int explain_load(int r, struct es_error *error)
{
	char *newline;

	if (access("/sys/kernel/btf/vmlinux", F_OK) < 0)
		return es_error_set(error, -ENOTSUP,
				    "the kernel has no BTF (/sys/kernel/btf/vmlinux is missing)");
	if (r == -EPERM || r == -EACCES)
		return es_error_set(error, -EPERM,
				    "no privilege to load BPF programs: CAP_SYS_ADMIN is needed");
	if (r == -ENOMEM || r == -E2BIG)
		return es_error_set_errno(error, -ENOMEM, "cannot allocate the BPF maps");
	newline = strchr(load_messages, '\n');
	if (newline)
		*newline = '\0';
	return es_error_set(error, -ENOTSUP, "the kernel refused the BPF programs (%s)%s%s",
			    strerrordesc_np(-r), *load_messages ? ": " : "", load_messages);
}

static int load(struct es_exitsnoop_pins *pins, const char *dir, struct es_error *error)
{
	struct exitsnoop_bpf *skel;
	int r;

	skel = exitsnoop_bpf__open();
	if (!skel)
		return explain_load(-errno, error);
	r = set_up_maps(pins, skel);
	if (r == 0)
		r = exitsnoop_bpf__load(skel);
	if (r < 0) {
		r = explain_load(r, error);
	} else {
		es_step("pin.loaded");
		r = pin_all(pins, skel, dir);
		if (r < 0)
			es_error_set_errno(error, r, "cannot attach and pin the BPF programs in %s",
					   dir);
	}
	exitsnoop_bpf__destroy(skel);
	return r;
}

static int load_quietly(struct es_exitsnoop_pins *pins, const char *dir, struct es_error *error)
{
	libbpf_print_fn_t print;
	int r;

	pthread_mutex_lock(&load_lock);
	load_messages[0] = '\0';
	print = libbpf_set_print(keep_message);
	r = load(pins, dir, error);
	libbpf_set_print(print);
	pthread_mutex_unlock(&load_lock);
	return r;
}

int es_exitsnoop_pins_open(struct es_exitsnoop_pins *pins, const char *dir, uint32_t capacity,
			   uint32_t fallback, struct es_error *error)
{
	int r;

	set_unset(pins);
	remove_pins(dir, NEW_SUFFIX);
	if (take_over_maps(pins, dir) && capacity && capacity != pins->capacity) {
		if (is_in_use(pins->maps[ES_MAP_EXITS])) {
			es_exitsnoop_pins_close(pins);
			return es_error_set(
				error, -EEXIST,
				"exit records with a capacity of %u are in use; it cannot "
				"become %u before the last task is deleted",
				pins->capacity, capacity);
		}
		es_exitsnoop_pins_close(pins);
		es_exitsnoop_pins_remove(dir);
	}
	if (pins->maps[ES_MAP_EXITS] < 0)
		pins->capacity = capacity ? capacity : fallback;
	if (take_over_programs(pins, dir))
		return 0;
	r = load_quietly(pins, dir, error);
	if (r < 0)
		es_exitsnoop_pins_close(pins);
	return r;
}
