/* SPDX-License-Identifier: Apache-2.0 */
/* JSON through sqlite's JSON functions. Together with idalloc.c the only user of sqlite. */
#ifndef ES_JSON_H
#define ES_JSON_H

#include <stdbool.h>
#include <stdint.h>

#include "util.h"

/* A JSON engine: one in-memory connection with its prepared statements. One thread at a time. */
struct es_json;

ES_HIDDEN int es_json_new(struct es_json **ret); /* 0, -ENOMEM, -EIO */
ES_HIDDEN void es_json_free(struct es_json *json);
ES_DEFINE_CLEANUP(struct es_json, es_json_free)

/*
 * Take a document to read from; copied. size excludes a NUL.
 * -EBADMSG: not well-formed JSON, not valid UTF-8, or holds a NUL byte. -ENOMEM.
 */
ES_HIDDEN int es_json_load(struct es_json *json, const char *text, size_t size);

/*
 * Read one value of the loaded document; path as sqlite writes it ("$.process.args[0]").
 * -ENOENT: absent or null. -EBADMSG: of another type (or out of range). *ret for strings is
 * malloc()ed; an escaped NUL (\u0000) ends it, because it ends a C string.
 */
ES_HIDDEN int es_json_get_string(struct es_json *json, const char *path, char **ret);
ES_HIDDEN int es_json_get_int64(struct es_json *json, const char *path, int64_t *ret);
ES_HIDDEN int es_json_get_bool(struct es_json *json, const char *path, bool *ret);
/* Whether the loaded document is an object. */
ES_HIDDEN bool es_json_is_object(struct es_json *json);
/* Number of elements of an array; 0 for an empty one. -ENOENT, -EBADMSG as above. */
ES_HIDDEN int es_json_get_length(struct es_json *json, const char *path, size_t *ret);

/* Build a flat JSON object. Strings are escaped by sqlite; NULL strings become null. */
struct es_json_member {
	const char *name;
	enum { ES_JSON_STRING, ES_JSON_INT64, ES_JSON_BOOL } type;
	const char *string;
	int64_t integer; /* also the bool */
};
/* *ret is malloc()ed text. 0, -ENOMEM, -EINVAL (a string is not valid UTF-8), -EIO. */
ES_HIDDEN int es_json_object(struct es_json *json, const struct es_json_member *members, size_t n,
			     char **ret);

#endif
