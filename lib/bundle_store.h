/* SPDX-License-Identifier: Apache-2.0 */
/* What the manager needs of the bundle store beyond the public functions. */
#ifndef ES_BUNDLE_STORE_H
#define ES_BUNDLE_STORE_H

#include <embedshim/bundle.h>

#include "util.h"

struct es_bundle_name {
	char namespace_[ES_ID_MAX + 1];
	char id[ES_ID_MAX + 1];
};

/* Every directory `<state>/<namespace>/<id>` with valid identifiers, valid bundle or not. *ret is
   malloc()ed. Number, or a negative errno. Foreign files and names are passed over. */
ES_HIDDEN int es_bundle_store_list(struct es_bundle_store *store, struct es_bundle_name **ret);

/* Remove work directories that no bundle directory belongs to, and empty namespace directories
   below root. Names that are not identifiers (bpf, lock, database) are not touched. */
ES_HIDDEN int es_bundle_store_prune(struct es_bundle_store *store);

ES_HIDDEN const char *es_bundle_store_root_dir(const struct es_bundle_store *store);
ES_HIDDEN const char *es_bundle_store_state_dir(const struct es_bundle_store *store);

/*
 * The two halves of es_bundle_create() for callers that put their own files in between:
 * begin makes the directories and config.json; commit makes the `work` link, after which the
 * bundle is valid.
 */
ES_HIDDEN int es_bundle_begin(struct es_bundle_store *store, const char *namespace_, const char *id,
			      const struct es_bundle_opts *opts, struct es_bundle **ret);
ES_HIDDEN int es_bundle_commit(struct es_bundle *bundle, struct es_error *error);
/* Take the link away again. */
ES_HIDDEN int es_bundle_uncommit(struct es_bundle *bundle, struct es_error *error);
/* Make the work directory again if it is gone, and let the link lead there. */
ES_HIDDEN int es_bundle_remake_work(struct es_bundle *bundle);

/* Read and atomically write a file in the bundle's directory (fs.h). */
ES_HIDDEN int es_bundle_read(const struct es_bundle *bundle, const char *name, size_t max,
			     char **ret, size_t *ret_size);
ES_HIDDEN int es_bundle_write(struct es_bundle *bundle, const char *name, const void *data,
			      size_t size);

#endif
