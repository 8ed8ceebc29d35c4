/* SPDX-License-Identifier: Apache-2.0 */
/* Files of ours that hold one flat JSON object with a version. */
#ifndef ES_RECORD_FILE_H
#define ES_RECORD_FILE_H

#include "json.h"

/* Of the layout of these files; a reader refuses a larger one. */
#define ES_RECORD_VERSION 1

ES_HIDDEN struct es_json_member es_record_string(const char *name, const char *value);
ES_HIDDEN struct es_json_member es_record_number(const char *name, uint64_t value);

/* Replace dir/name atomically. 0 or a negative errno. */
ES_HIDDEN int es_record_write(const char *dir, struct es_json *json, const char *name,
			      const struct es_json_member *members, size_t n);

/* Load dir/name into json for the functions below. -ENOENT, -EBADMSG (damaged, or of a later
   version), -ENOMEM, or what open(2) says. */
ES_HIDDEN int es_record_load(const char *dir, struct es_json *json, const char *name);

/* One member. -EBADMSG: absent, of another type or out of range. */
ES_HIDDEN int es_record_get_uint64(struct es_json *json, const char *path, uint64_t *ret);
ES_HIDDEN int es_record_get_uint32(struct es_json *json, const char *path, uint32_t *ret);
ES_HIDDEN int es_record_get_int32(struct es_json *json, const char *path, int32_t *ret);
/* A string that fits, into a fixed array. */
ES_HIDDEN int es_record_get_array(struct es_json *json, const char *path, char *ret, size_t size);

#endif
