/* SPDX-License-Identifier: Apache-2.0 */
/* The directory on a bpffs where the pins of one root directory live. */
#ifndef ES_BPF_DIR_H
#define ES_BPF_DIR_H

#include <embedshim/base.h>
#include <stdbool.h>

#include "util.h"

struct es_bpf_dir {
	char *path;	   /* the versioned directory; exists */
	char *parent;	   /* made for this root only: `<root>/bpf` or `<bpffs>/embedshim-<hash>` */
	bool is_own_mount; /* parent is the mount point of a bpffs that serves this root only */
	char warning[256]; /* what is lost when this service ends; "" nothing */
};

struct es_bpf_dir_opts {
	const char *root_dir; /* exists */
	const char *bpf_dir;  /* NULL: choose */
	bool require_persistent;
	struct es_error *error;
};

/*
 * Find or make the directory. Pins that exist are found wherever an earlier run has put them.
 * Otherwise `<root>/bpf`, where a bpffs is mounted if none is; but the host's /sys/fs/bpf when our
 * mount namespace is private, because a mount in there ends with it.
 * 0, -ENOTDIR, -ENOTSUP, -EPERM, -ENOMEM and what mkdir(2) and mount(2) return.
 */
ES_HIDDEN int es_bpf_dir_open(struct es_bpf_dir *dir, const struct es_bpf_dir_opts *opts);

ES_HIDDEN void es_bpf_dir_clear(struct es_bpf_dir *dir);

/* Remove the directories (the pins are gone already) and a mount of ours. Best effort. */
ES_HIDDEN void es_bpf_dir_remove(const struct es_bpf_dir *dir);

#endif
