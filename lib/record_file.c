/* SPDX-License-Identifier: Apache-2.0 */
/* Files of ours that hold one flat JSON object with a version. */
#include "record_file.h"

#include <fcntl.h>
#include <string.h>

#include "fs.h"

#define RECORD_SIZE_MAX (256 * 1024)

struct es_json_member es_record_string(const char *name, const char *value)
{
	return (struct es_json_member){ .name = name, .type = ES_JSON_STRING, .string = value };
}

struct es_json_member es_record_number(const char *name, uint64_t value)
{
	return (struct es_json_member){ .name = name,
					.type = ES_JSON_INT64,
					.integer = (int64_t)value };
}

int es_record_write(const char *dir, struct es_json *json, const char *name,
		    const struct es_json_member *members, size_t n)
{
	cleanup_free char *text = NULL;
	cleanup_fd int fd = -EBADF;
	int r;

	r = es_json_object(json, members, n, &text);
	if (r < 0)
		return r;
	fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	return fd < 0 ? es_neg_errno() : es_file_write(fd, name, text, strlen(text), 0644);
}

int es_record_get_uint64(struct es_json *json, const char *path, uint64_t *ret)
{
	int64_t value;
	int r;

	r = es_json_get_int64(json, path, &value);
	if (r < 0)
		return r == -ENOENT ? -EBADMSG : r;
	*ret = (uint64_t)value;
	return 0;
}

int es_record_get_uint32(struct es_json *json, const char *path, uint32_t *ret)
{
	uint64_t value;
	int r;

	r = es_record_get_uint64(json, path, &value);
	if (r < 0)
		return r;
	if (value > UINT32_MAX)
		return -EBADMSG;
	*ret = (uint32_t)value;
	return 0;
}

/* A string that fits, into a fixed array. */
int es_record_get_array(struct es_json *json, const char *path, char *ret, size_t size)
{
	cleanup_free char *text = NULL;
	int r;

	r = es_json_get_string(json, path, &text);
	if (r < 0)
		return r == -ENOENT ? -EBADMSG : r;
	if (strlen(text) >= size)
		return -EBADMSG;
	memcpy(ret, text, strlen(text) + 1);
	return 0;
}

/* Load a file of ours and check what every one of them begins with. */
int es_record_load(const char *dir, struct es_json *json, const char *name)
{
	cleanup_free char *text = NULL;
	cleanup_fd int fd = -EBADF;
	uint64_t version;
	size_t size;
	int r;

	fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return es_neg_errno();
	r = es_file_read(fd, name, RECORD_SIZE_MAX, &text, &size);
	if (r < 0)
		return r == -EFBIG || r == -EINVAL ? -EBADMSG : r;
	r = es_json_load(json, text, size);
	if (r < 0)
		return r;
	r = es_record_get_uint64(json, "$.version", &version);
	if (r < 0)
		return r;
	return version > ES_RECORD_VERSION ? -EBADMSG : 0;
}

int es_record_get_int32(struct es_json *json, const char *path, int32_t *ret)
{
	int64_t value;
	int r;

	r = es_json_get_int64(json, path, &value);
	if (r < 0)
		return r == -ENOENT ? -EBADMSG : r;
	if (value < INT32_MIN || value > INT32_MAX)
		return -EBADMSG;
	*ret = (int32_t)value;
	return 0;
}
