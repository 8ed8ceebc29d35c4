/* SPDX-License-Identifier: Apache-2.0 */
/* The directory on a bpffs where the pins of one root directory live. */
#include "bpf_dir.h"

#include <dirent.h>
#include <limits.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>

#include "error.h"
#include "exitsnoop_maps.h"
#include "fs.h"
#include "mount.h"
#include "step.h"

#define HOST_BPFFS "/sys/fs/bpf"

#define STRINGIFY_(x) #x
#define STRINGIFY(x)  STRINGIFY_(x)
#define VERSION_DIR   "v" STRINGIFY(EXITSNOOP_LAYOUT)

static bool is_bpffs(const char *path)
{
	struct statfs fs;

	return statfs(path, &fs) == 0 && (unsigned long)fs.f_type == BPF_FS_MAGIC;
}

static bool exists(const char *path)
{
	return access(path, F_OK) == 0;
}

/* A name for the root that no other has: FNV-1a of its resolved path. bpffs refuses dots. */
static int name_of_root(const char *root_dir, char *ret, size_t size)
{
	cleanup_free char *resolved = realpath(root_dir, NULL);
	uint64_t hash = 14695981039346656037ULL;

	if (!resolved)
		return es_neg_errno();
	for (const char *p = resolved; *p; p++)
		hash = (hash ^ (unsigned char)*p) * 1099511628211ULL;
	snprintf(ret, size, "embedshim-%016llx", (unsigned long long)hash);
	return 0;
}

static int make_dir(const char *path, struct es_error *error)
{
	int r = es_dir_make(path, 0700);

	if (r < 0 && r != -EEXIST)
		return es_error_set_errno(error, r, "cannot make %s", path);
	return 0;
}

static int mount_bpffs(const char *path, struct es_error *error)
{
	int r;

	r = make_dir(path, error);
	if (r < 0 || is_bpffs(path))
		return r;
	es_step("pin.dir");
	if (mount("embedshim", path, "bpf", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=0700") < 0) {
		r = es_neg_errno();
		es_error_set_errno(error, r, "cannot mount a bpffs at %s", path);
		rmdir(path);
		return r;
	}
	es_step("pin.mounted");
	return 0;
}

/* A directory of this root below a bpffs that others use too. */
static int use_shared(struct es_bpf_dir *dir, const char *bpffs, const char *name,
		      struct es_error *error)
{
	int r;

	r = es_path_join(&dir->parent, bpffs, name);
	if (r < 0)
		return r;
	return make_dir(dir->parent, error);
}

static int use_own(struct es_bpf_dir *dir, char **own, struct es_error *error)
{
	dir->parent = TAKE_PTR(*own);
	dir->is_own_mount = true;
	return mount_bpffs(dir->parent, error);
}

static int choose(struct es_bpf_dir *dir, const char *name, const struct es_bpf_dir_opts *opts)
{
	cleanup_free char *own = NULL, *shared = NULL, *own_pins = NULL;
	enum es_mount_ns kind;
	int r;

	if ((r = es_path_join(&own, opts->root_dir, "bpf")) < 0 ||
	    (r = es_path_join(&own_pins, own, VERSION_DIR)) < 0 ||
	    (r = es_path_join(&shared, HOST_BPFFS, name)) < 0)
		return r;
	/* Where the pins are already. */
	if (is_bpffs(own) && exists(own_pins))
		return use_own(dir, &own, opts->error);
	if (is_bpffs(shared))
		return use_shared(dir, HOST_BPFFS, name, opts->error);
	kind = es_mount_ns_kind();
	if (kind == ES_MOUNT_NS_HOST)
		return use_own(dir, &own, opts->error);
	/* In doubt too: it lives as long as ours would, if not longer. */
	if (is_bpffs(HOST_BPFFS))
		return use_shared(dir, HOST_BPFFS, name, opts->error);
	snprintf(dir->warning, sizeof(dir->warning),
		 "the mount namespace %s private and no bpffs of the host is visible at " HOST_BPFFS
		 ": exits that happen after this service has ended %s lost",
		 kind == ES_MOUNT_NS_PRIVATE ? "is" : "may be",
		 kind == ES_MOUNT_NS_PRIVATE ? "are" : "would then be");
	if (opts->require_persistent)
		return es_error_set(opts->error, -ENOTSUP, "%s", dir->warning);
	return use_own(dir, &own, opts->error);
}

int es_bpf_dir_open(struct es_bpf_dir *dir, const struct es_bpf_dir_opts *opts)
{
	char name[64];
	int r;

	*dir = (struct es_bpf_dir){ 0 };
	r = name_of_root(opts->root_dir, name, sizeof(name));
	if (r < 0)
		return es_error_set_errno(opts->error, r, "root directory %s", opts->root_dir);
	if (!opts->bpf_dir)
		r = choose(dir, name, opts);
	else if (is_bpffs(opts->bpf_dir))
		r = use_shared(dir, opts->bpf_dir, name, opts->error);
	else
		r = es_error_set(opts->error, -ENOTDIR, "%s is not a directory on a bpffs",
				 opts->bpf_dir);
	if (r == 0)
		r = es_path_join(&dir->path, dir->parent, VERSION_DIR);
	if (r == 0)
		r = make_dir(dir->path, opts->error);
	if (r < 0) {
		if (dir->parent)
			es_bpf_dir_remove(dir);
		es_bpf_dir_clear(dir);
	}
	return r;
}

void es_bpf_dir_clear(struct es_bpf_dir *dir)
{
	free(TAKE_PTR(dir->path));
	free(TAKE_PTR(dir->parent));
}

/* Whether nothing is pinned. The kernel's own files (maps.debug, progs.debug) have a dot. */
static bool has_no_pins(const char *bpffs)
{
	DIR *dir = opendir(bpffs);
	struct dirent *entry;
	bool none = true;

	while (dir && none && (entry = readdir(dir)))
		none = strchr(entry->d_name, '.') != NULL;
	if (dir)
		closedir(dir);
	return dir && none;
}

void es_bpf_dir_remove(const struct es_bpf_dir *dir)
{
	/* Pins of another version keep their directory, and with it the mount. */
	if (dir->path)
		rmdir(dir->path);
	es_step("unpin.version_dir");
	if (dir->is_own_mount) {
		if (!has_no_pins(dir->parent))
			return;
		umount2(dir->parent, UMOUNT_NOFOLLOW);
		es_step("unpin.unmounted");
	}
	rmdir(dir->parent);
}
