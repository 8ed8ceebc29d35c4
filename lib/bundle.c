/* SPDX-License-Identifier: Apache-2.0 */
/* One bundle: its directory, its work directory, and the link that makes it valid. */
#include <embedshim/bundle.h>

#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>

#include "bundle_store.h"
#include "error.h"
#include "fs.h"
#include "mount.h"
#include "opts.h"
#include "step.h"

#define LINK_FILE   "work"
#define CONFIG_FILE "config.json"

struct es_bundle {
	char *dir;    /* `<state>/<namespace>/<id>` */
	char *rootfs; /* below it */
	char *link;   /* below it: the mark */
	char *work;   /* `<root>/<namespace>/<id>` */
	char *namespace_dir;
	char *work_namespace_dir;
};

const char *es_bundle_dir(const struct es_bundle *b)
{
	return b ? b->dir : NULL;
}

const char *es_bundle_rootfs(const struct es_bundle *b)
{
	return b ? b->rootfs : NULL;
}

const char *es_bundle_work_dir(const struct es_bundle *b)
{
	return b ? b->work : NULL;
}

void es_bundle_free(struct es_bundle *b)
{
	if (!b)
		return;
	free(b->dir);
	free(b->rootfs);
	free(b->link);
	free(b->work);
	free(b->namespace_dir);
	free(b->work_namespace_dir);
	free(b);
}
ES_DEFINE_CLEANUP(struct es_bundle, es_bundle_free)

static int bundle_new(struct es_bundle_store *store, const char *namespace_, const char *id,
		      struct es_bundle **ret)
{
	CLEANUP(cleanup_es_bundle_free) struct es_bundle *b = NULL;
	int r;

	if ((r = es_identifier_check(namespace_)) < 0 || (r = es_identifier_check(id)) < 0)
		return r;
	b = calloc(1, sizeof(*b));
	if (!b)
		return -ENOMEM;
	if ((r = es_path_join(&b->namespace_dir, es_bundle_store_state_dir(store), namespace_)) <
		    0 ||
	    (r = es_path_join(&b->work_namespace_dir, es_bundle_store_root_dir(store),
			      namespace_)) < 0 ||
	    (r = es_path_join(&b->dir, b->namespace_dir, id)) < 0 ||
	    (r = es_path_join(&b->work, b->work_namespace_dir, id)) < 0 ||
	    (r = es_path_join(&b->rootfs, b->dir, "rootfs")) < 0 ||
	    (r = es_path_join(&b->link, b->dir, LINK_FILE)) < 0)
		return r;
	*ret = TAKE_PTR(b);
	return 0;
}

/* Make */

static int make_namespace_dir(const char *path, struct es_error *error)
{
	int r = es_dir_make(path, 0711);

	if (r < 0 && r != -EEXIST)
		return es_error_set_errno(error, r, "cannot make %s", path);
	return 0;
}

static int make_dir(const char *path, mode_t mode, struct es_error *error)
{
	int r = es_dir_make(path, mode);

	return r < 0 ? es_error_set_errno(error, r, "cannot make %s", path) : 0;
}

/* The namespace directory may be removed by the end of its last bundle at any moment. */
static int make_below(const char *namespace_dir, const char *path, mode_t mode,
		      struct es_error *error)
{
	int r;

	for (int tries = 0; tries < 16; tries++) {
		r = make_namespace_dir(namespace_dir, error);
		if (r < 0)
			return r;
		r = es_dir_make(path, mode);
		if (r != -ENOENT)
			break;
	}
	return r < 0 ? es_error_set_errno(error, r, "cannot make %s", path) : 0;
}

static int write_config(struct es_bundle *b, const struct es_bundle_opts *opts)
{
	size_t size = opts->spec_size ? opts->spec_size : strlen(opts->spec);
	int r;

	r = es_bundle_write(b, CONFIG_FILE, opts->spec, size);
	return r < 0 ? es_error_set_errno(opts->error, r, "%s/%s", b->dir, CONFIG_FILE) : 0;
}

static int give_to_group(const struct es_bundle *b, const struct es_bundle_opts *opts)
{
	/* As containerd: the remapped root must be able to walk to the rootfs. */
	if (opts->group && (chown(b->dir, (uid_t)-1, opts->group) < 0 || chmod(b->dir, 0710) < 0))
		return es_error_set_errno(opts->error, es_neg_errno(), "%s: group %u", b->dir,
					  opts->group);
	return 0;
}

static int fill(struct es_bundle *b, const struct es_bundle_opts *opts)
{
	int r;

	r = give_to_group(b, opts);
	if (r == 0)
		r = make_dir(b->rootfs, 0711, opts->error);
	if (r < 0)
		return r;
	es_step("bundle.rootfs");
	if (opts->spec)
		r = write_config(b, opts);
	if (r < 0)
		return r;
	es_step("bundle.config");
	r = make_below(b->work_namespace_dir, b->work, 0711, opts->error);
	/* Left over from a state directory that is gone; the store is ours alone. */
	if (r == -EEXIST)
		r = 0;
	es_step("bundle.work");
	return r;
}

int es_bundle_begin(struct es_bundle_store *store, const char *namespace_, const char *id,
		    const struct es_bundle_opts *caller_opts, struct es_bundle **ret)
{
	CLEANUP(cleanup_es_bundle_free) struct es_bundle *b = NULL;
	struct es_bundle_opts opts;
	int r;

	if (!store || !ret)
		return -EINVAL;
	r = es_opts_copy(&opts, sizeof(opts), caller_opts);
	if (r == 0)
		r = bundle_new(store, namespace_, id, &b);
	if (r < 0)
		return es_error_set_errno(opts.error, r, "bundle \"%.100s/%.100s\"",
					  namespace_ ? namespace_ : "", id ? id : "");
	r = make_below(b->namespace_dir, b->dir, 0700, opts.error);
	if (r < 0)
		return r;
	es_step("bundle.dir");
	r = fill(b, &opts);
	if (r < 0) {
		es_bundle_remove(b, NULL);
		return r;
	}
	*ret = TAKE_PTR(b);
	return 0;
}

int es_bundle_commit(struct es_bundle *b, struct es_error *error)
{
	int r;

	if (symlink(b->work, b->link) == 0)
		return 0;
	r = es_neg_errno();
	if (r == -EEXIST && es_bundle_is_valid(b) == 1)
		return 0;
	return es_error_set_errno(error, r, "cannot make the link %s", b->link);
}

int es_bundle_uncommit(struct es_bundle *b, struct es_error *error)
{
	int r;

	/* A copy may have got a directory from it. */
	if (unlink(b->link) == 0 || errno == ENOENT || errno == EISDIR)
		return 0;
	r = es_neg_errno();
	return es_error_set_errno(error, r, "cannot remove the link %s", b->link);
}

int es_bundle_create(struct es_bundle_store *store, const char *namespace_, const char *id,
		     const struct es_bundle_opts *opts, struct es_bundle **ret)
{
	CLEANUP(cleanup_es_bundle_free) struct es_bundle *b = NULL;
	struct es_error *error = NULL;
	int r;

	r = es_bundle_begin(store, namespace_, id, opts, &b);
	if (r < 0)
		return r;
	if (opts)
		error = opts->error;
	r = es_bundle_commit(b, error);
	if (r < 0) {
		es_bundle_remove(b, NULL);
		return r;
	}
	*ret = TAKE_PTR(b);
	return 0;
}

/* Open and read */

int es_bundle_open(struct es_bundle_store *store, const char *namespace_, const char *id,
		   struct es_bundle **ret)
{
	CLEANUP(cleanup_es_bundle_free) struct es_bundle *b = NULL;
	struct stat st;
	int r;

	if (!store || !ret)
		return -EINVAL;
	r = bundle_new(store, namespace_, id, &b);
	if (r < 0)
		return r;
	if (lstat(b->dir, &st) < 0)
		return es_neg_errno();
	if (!S_ISDIR(st.st_mode))
		return -ENOENT;
	*ret = TAKE_PTR(b);
	return 0;
}

/* How the names of all work directories of this bundle end: those of a root spelled in another
   way, and those of another root. */
static const char *tail_of_work(const struct es_bundle *b)
{
	return b->work + strlen(b->work_namespace_dir) -
	       strlen(strrchr(b->work_namespace_dir, '/'));
}

int es_bundle_is_valid(const struct es_bundle *b)
{
	char target[PATH_MAX];
	const char *tail;
	ssize_t n;

	if (!b)
		return -EINVAL;
	n = readlink(b->link, target, sizeof(target) - 1);
	if (n < 0)
		return errno == ENOENT ? 0 : errno == EINVAL ? -EBADMSG : es_neg_errno();
	target[n] = '\0';
	tail = tail_of_work(b);
	if ((size_t)n < strlen(tail) || strcmp(target + n - strlen(tail), tail) != 0)
		return -EBADMSG;
	/* Whether the work directory exists does not matter: a root can be removed, and made again.
	 */
	return 1;
}

/* Let the mark lead to the work directory of this root. At no moment it is missing. */
static int turn_link(const struct es_bundle *b)
{
	cleanup_free char *new_link = NULL;
	char target[PATH_MAX];
	ssize_t n;
	int r;

	n = readlink(b->link, target, sizeof(target));
	if (n < 0)
		return es_neg_errno();
	if ((size_t)n == strlen(b->work) && memcmp(target, b->work, (size_t)n) == 0)
		return 0;
	r = es_path_join(&new_link, b->dir, ".work-new");
	if (r < 0)
		return r;
	unlink(new_link);
	if (symlink(b->work, new_link) < 0 || rename(new_link, b->link) < 0)
		return es_neg_errno();
	return 0;
}

int es_bundle_remake_work(struct es_bundle *b)
{
	struct stat st;
	int r = 0;

	if (lstat(b->work, &st) < 0 || !S_ISDIR(st.st_mode))
		r = make_below(b->work_namespace_dir, b->work, 0711, NULL);
	if (r < 0)
		return r == -EEXIST ? -ENOTDIR : r;
	return turn_link(b);
}

static int open_dir(const struct es_bundle *b)
{
	int fd = open(b->dir, O_PATH | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);

	return fd < 0 ? es_neg_errno() : fd;
}

int es_bundle_read(const struct es_bundle *b, const char *name, size_t max, char **ret,
		   size_t *ret_size)
{
	cleanup_fd int fd = open_dir(b);

	return fd < 0 ? fd : es_file_read(fd, name, max, ret, ret_size);
}

int es_bundle_write(struct es_bundle *b, const char *name, const void *data, size_t size)
{
	cleanup_fd int fd = open_dir(b);

	return fd < 0 ? fd : es_file_write(fd, name, data, size, 0644);
}

/* Remove */

int es_bundle_unmount(struct es_bundle *b, struct es_error *error)
{
	int r;

	if (!b)
		return -EINVAL;
	r = es_mount_remove_below(b->dir, true);
	if (r < 0)
		return es_error_set_errno(error, r, "cannot unmount what is mounted below %s",
					  b->dir);
	return r;
}

static int remove_tree(const char *parent, const char *path, struct es_error *error)
{
	cleanup_fd int fd = -EBADF;
	int r;

	fd = open(parent, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 && (errno == ENOENT || errno == ENOTDIR))
		return 0;
	r = fd < 0 ? es_neg_errno() : es_tree_remove(fd, strrchr(path, '/') + 1);
	return r < 0 ? es_error_set_errno(error, r, "cannot remove %s", path) : 0;
}

int es_bundle_remove(struct es_bundle *b, struct es_error *error)
{
	int r;

	if (!b)
		return -EINVAL;
	r = es_bundle_unmount(b, error);
	if (r < 0)
		return r;
	es_step("bundle.unmounted");
	r = es_bundle_uncommit(b, error);
	if (r < 0 && r != -ENOTDIR)
		return r;
	es_step("bundle.uncommitted");
	r = remove_tree(b->namespace_dir, b->dir, error);
	if (r < 0)
		return r;
	es_step("bundle.removed");
	r = remove_tree(b->work_namespace_dir, b->work, error);
	if (r < 0)
		return r;
	es_step("bundle.work_removed");
	/* If they are empty now; a bundle that is being made makes them again. */
	rmdir(b->namespace_dir);
	rmdir(b->work_namespace_dir);
	return 0;
}
