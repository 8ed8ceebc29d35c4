/* SPDX-License-Identifier: Apache-2.0 */
/* The two trees of directories that hold all bundles. */
#include "bundle_store.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>

#include "error.h"
#include "fs.h"

/* Room that a path below one of the two directories needs: two names and a file of ours. */
#define LONGEST_TAIL (2 * (ES_ID_MAX + 1) + 64)

struct es_bundle_store {
	char *root_dir;
	char *state_dir;
};

static int check_dir(const char *what, const char *dir, struct es_error *error)
{
	if (!dir || dir[0] != '/')
		return es_error_set(error, -EINVAL, "%s must be an absolute path, not %s", what,
				    dir ? dir : "NULL");
	if (strlen(dir) + LONGEST_TAIL >= PATH_MAX)
		return es_error_set(error, -ENAMETOOLONG,
				    "%s leaves no room for the files of a bundle: %.100s...", what,
				    dir);
	return 0;
}

static int make_dir(const char *what, const char *dir, struct es_error *error)
{
	int r = es_dir_make_all(dir, 0711);

	return r < 0 ? es_error_set_errno(error, r, "cannot make %s %s", what, dir) : 0;
}

static bool is_same_dir(const char *a, const char *b)
{
	struct stat x, y;

	return stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

int es_bundle_store_open(const char *root_dir, const char *state_dir, struct es_error *error,
			 struct es_bundle_store **ret)
{
	struct es_bundle_store *store;
	int r;

	if (!ret)
		return -EINVAL;
	if ((r = check_dir("root directory", root_dir, error)) < 0 ||
	    (r = check_dir("state directory", state_dir, error)) < 0 ||
	    (r = make_dir("root directory", root_dir, error)) < 0 ||
	    (r = make_dir("state directory", state_dir, error)) < 0)
		return r;
	if (is_same_dir(root_dir, state_dir))
		return es_error_set(error, -EINVAL, "root and state directory are the same: %s",
				    root_dir);
	store = calloc(1, sizeof(*store));
	if (store) {
		store->root_dir = strdup(root_dir);
		store->state_dir = strdup(state_dir);
	}
	if (!store || !store->root_dir || !store->state_dir) {
		es_bundle_store_free(store);
		return -ENOMEM;
	}
	*ret = store;
	return 0;
}

void es_bundle_store_free(struct es_bundle_store *store)
{
	if (!store)
		return;
	free(store->root_dir);
	free(store->state_dir);
	free(store);
}

const char *es_bundle_store_root_dir(const struct es_bundle_store *store)
{
	return store->root_dir;
}

const char *es_bundle_store_state_dir(const struct es_bundle_store *store)
{
	return store->state_dir;
}

/* Call fn for each directory in dir whose name is an identifier. Stops at a negative return. */
static int each_dir(const char *dir, int (*fn)(const char *dir, const char *name, void *arg),
		    void *arg)
{
	DIR *d = opendir(dir);
	struct dirent *entry;
	struct stat st;
	int r = 0;

	if (!d)
		return errno == ENOENT ? 0 : es_neg_errno();
	while (r >= 0 && (entry = readdir(d))) {
		if (es_identifier_check(entry->d_name) < 0 ||
		    fstatat(dirfd(d), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
		    !S_ISDIR(st.st_mode))
			continue;
		r = fn(dir, entry->d_name, arg);
	}
	closedir(d);
	return r;
}

struct name_list {
	const char *namespace_;
	struct es_bundle_name *names;
	int n, size;
};

static int add_name(const char *dir, const char *id, void *arg)
{
	struct name_list *list = arg;

	(void)dir;
	if (list->n == list->size) {
		int size = list->size ? list->size * 2 : 64;
		void *names = realloc(list->names, (size_t)size * sizeof(*list->names));

		if (!names)
			return -ENOMEM;
		list->names = names;
		list->size = size;
	}
	strcpy(list->names[list->n].namespace_, list->namespace_);
	strcpy(list->names[list->n].id, id);
	list->n++;
	return 0;
}

static int add_namespace(const char *dir, const char *namespace_, void *arg)
{
	struct name_list *list = arg;
	cleanup_free char *path = NULL;
	int r;

	r = es_path_join(&path, dir, namespace_);
	if (r < 0)
		return r;
	list->namespace_ = namespace_;
	return each_dir(path, add_name, list);
}

int es_bundle_store_list(struct es_bundle_store *store, struct es_bundle_name **ret)
{
	struct name_list list = { 0 };
	int r;

	r = each_dir(store->state_dir, add_namespace, &list);
	if (r < 0) {
		free(list.names);
		return r;
	}
	*ret = list.names;
	return list.n;
}

struct prune {
	struct es_bundle_store *store;
	const char *namespace_;
	int first_error;
};

static int prune_work_dir(const char *dir, const char *id, void *arg)
{
	struct prune *p = arg;
	cleanup_free char *bundle = NULL;
	cleanup_fd int fd = -EBADF;
	int r;

	if (asprintf(&bundle, "%s/%s/%s", p->store->state_dir, p->namespace_, id) < 0)
		return -ENOMEM;
	if (access(bundle, F_OK) == 0)
		return 0;
	fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	r = fd < 0 ? es_neg_errno() : es_tree_remove(fd, id);
	if (r < 0 && p->first_error == 0)
		p->first_error = r;
	return 0;
}

static int prune_namespace(const char *dir, const char *namespace_, void *arg)
{
	struct prune *p = arg;
	cleanup_free char *path = NULL;
	int r;

	/* The directories of the library itself are not namespaces. */
	if (strcmp(namespace_, "bpf") == 0)
		return 0;
	r = es_path_join(&path, dir, namespace_);
	if (r < 0)
		return r;
	p->namespace_ = namespace_;
	r = each_dir(path, prune_work_dir, p);
	if (r == 0)
		rmdir(path); /* only if it is empty */
	return r;
}

int es_bundle_store_prune(struct es_bundle_store *store)
{
	struct prune p = { .store = store };
	int r;

	r = each_dir(store->root_dir, prune_namespace, &p);
	return r < 0 ? r : p.first_error;
}
