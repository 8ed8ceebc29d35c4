/* SPDX-License-Identifier: Apache-2.0 */
/* JSON through sqlite's JSON functions. */
#include "json.h"

#include <sqlite3.h>
#include <string.h>

struct es_json {
	sqlite3 *db;
	sqlite3_stmt *load; /* ?1 into the one row of doc */
	sqlite3_stmt *type; /* json_type() of a path, with the value itself */
	sqlite3_stmt *length;
};

/* The value of bound text that is not a JSON document is an error of json_valid(), not of SQL. */
static const char set_up[] = "CREATE TABLE doc (id INTEGER PRIMARY KEY CHECK (id = 1), text TEXT);";
static const char sql_load[] = "INSERT OR REPLACE INTO doc SELECT 1, ?1 WHERE json_valid(?1)";
static const char sql_value[] = "SELECT json_type(text, ?1), json_extract(text, ?1) FROM doc";
static const char sql_length[] = "SELECT json_type(text, ?1), json_array_length(text, ?1) FROM doc";

int es_json_new(struct es_json **ret)
{
	struct es_json *json = calloc(1, sizeof(*json));
	int r;

	if (!json)
		return -ENOMEM;
	/* One thread at a time by contract: no mutexes of sqlite's. */
	r = sqlite3_open_v2(":memory:", &json->db,
			    SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_MEMORY |
				    SQLITE_OPEN_NOMUTEX,
			    NULL);
	if (r == SQLITE_OK)
		r = sqlite3_exec(json->db, set_up, NULL, NULL, NULL);
	if (r == SQLITE_OK)
		r = sqlite3_prepare_v2(json->db, sql_load, -1, &json->load, NULL);
	if (r == SQLITE_OK)
		r = sqlite3_prepare_v2(json->db, sql_value, -1, &json->type, NULL);
	if (r == SQLITE_OK)
		r = sqlite3_prepare_v2(json->db, sql_length, -1, &json->length, NULL);
	if (r != SQLITE_OK) {
		es_json_free(json);
		return r == SQLITE_NOMEM ? -ENOMEM : -EIO;
	}
	*ret = json;
	return 0;
}

void es_json_free(struct es_json *json)
{
	if (!json)
		return;
	sqlite3_finalize(json->load);
	sqlite3_finalize(json->type);
	sqlite3_finalize(json->length);
	sqlite3_close(json->db);
	free(json);
}

/*
 * sqlite takes any bytes for text. RFC 3629: no overlong forms, no surrogates, nothing above
 * U+10FFFF.
 */
static bool is_utf8(const unsigned char *s, size_t n)
{
	for (size_t i = 0; i < n;) {
		unsigned char c = s[i];
		size_t more = c < 0x80		      ? 0
			      : c >= 0xc2 && c < 0xe0 ? 1
			      : (c & 0xf0) == 0xe0    ? 2
			      : c >= 0xf0 && c < 0xf5 ? 3
						      : n;

		if (c == 0 || more >= n - i)
			return false;
		if ((c == 0xe0 && s[i + 1] < 0xa0) || (c == 0xed && s[i + 1] > 0x9f) ||
		    (c == 0xf0 && s[i + 1] < 0x90) || (c == 0xf4 && s[i + 1] > 0x8f))
			return false;
		for (size_t k = 1; k <= more; k++)
			if ((s[i + k] & 0xc0) != 0x80)
				return false;
		i += more + 1;
	}
	return true;
}

/* Nothing of an earlier document may be taken for part of one that was refused. */
static void forget(struct es_json *json)
{
	sqlite3_exec(json->db, "DELETE FROM doc", NULL, NULL, NULL);
}

int es_json_load(struct es_json *json, const char *text, size_t size)
{
	int r, changed;

	if (size > INT32_MAX || !is_utf8((const unsigned char *)text, size)) {
		forget(json);
		return -EBADMSG;
	}
	sqlite3_bind_text(json->load, 1, text, (int)size, SQLITE_STATIC);
	r = sqlite3_step(json->load);
	changed = sqlite3_changes(json->db);
	sqlite3_reset(json->load);
	sqlite3_clear_bindings(json->load);
	if (r == SQLITE_NOMEM || r == SQLITE_TOOBIG) {
		forget(json);
		return -ENOMEM;
	}
	if (r != SQLITE_DONE || changed != 1) {
		forget(json);
		return -EBADMSG;
	}
	return 0;
}

/*
 * Step the statement for path. -ENOENT when there is no such value or it is null; otherwise the
 * caller reads the columns and resets.
 */
static int query(sqlite3_stmt *stmt, const char *path)
{
	int r;

	sqlite3_bind_text(stmt, 1, path, -1, SQLITE_STATIC);
	r = sqlite3_step(stmt);
	if (r == SQLITE_ROW) {
		const char *type = (const char *)sqlite3_column_text(stmt, 0);

		if (type && strcmp(type, "null") != 0)
			return 0;
		r = SQLITE_DONE;
	}
	sqlite3_reset(stmt);
	return r == SQLITE_DONE ? -ENOENT : r == SQLITE_NOMEM ? -ENOMEM : -EBADMSG;
}

static bool is_type(sqlite3_stmt *stmt, const char *type)
{
	return strcmp((const char *)sqlite3_column_text(stmt, 0), type) == 0;
}

int es_json_get_string(struct es_json *json, const char *path, char **ret)
{
	int r = query(json->type, path);

	if (r < 0)
		return r;
	if (!is_type(json->type, "text")) {
		r = -EBADMSG;
	} else {
		const char *text = (const char *)sqlite3_column_text(json->type, 1);

		if (!text)
			r = -ENOMEM;
		else if (!(*ret = strdup(text)))
			r = -ENOMEM;
	}
	sqlite3_reset(json->type);
	return r;
}

int es_json_get_int64(struct es_json *json, const char *path, int64_t *ret)
{
	int r = query(json->type, path);

	if (r < 0)
		return r;
	/* A number beyond 64 bits is an "integer" to json_type(), but extracted as a real. */
	if (!is_type(json->type, "integer") || sqlite3_column_type(json->type, 1) != SQLITE_INTEGER)
		r = -EBADMSG;
	else
		*ret = sqlite3_column_int64(json->type, 1);
	sqlite3_reset(json->type);
	return r;
}

int es_json_get_bool(struct es_json *json, const char *path, bool *ret)
{
	int r = query(json->type, path);

	if (r < 0)
		return r;
	if (is_type(json->type, "true"))
		*ret = true;
	else if (is_type(json->type, "false"))
		*ret = false;
	else
		r = -EBADMSG;
	sqlite3_reset(json->type);
	return r;
}

bool es_json_is_object(struct es_json *json)
{
	bool is = query(json->type, "$") == 0 && is_type(json->type, "object");

	sqlite3_reset(json->type);
	return is;
}

int es_json_get_length(struct es_json *json, const char *path, size_t *ret)
{
	int r = query(json->length, path);

	if (r < 0)
		return r;
	if (is_type(json->length, "array"))
		*ret = (size_t)sqlite3_column_int64(json->length, 1);
	else
		r = -EBADMSG;
	sqlite3_reset(json->length);
	return r;
}

/* "SELECT json_object('name', ?1, ...)": names are ours and hold no quotes. */
static char *object_sql(const struct es_json_member *members, size_t n)
{
	char *sql = NULL;
	size_t size;
	FILE *f;

	f = open_memstream(&sql, &size);
	if (!f)
		return NULL;
	fputs("SELECT json_object(", f);
	for (size_t i = 0; i < n; i++)
		fprintf(f, members[i].type == ES_JSON_BOOL ? "%s'%s', json(?)" : "%s'%s', ?",
			i ? ", " : "", members[i].name);
	fputs(")", f);
	if (fclose(f) != 0) {
		free(sql);
		return NULL;
	}
	return sql;
}

static int bind_members(sqlite3_stmt *stmt, const struct es_json_member *members, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const struct es_json_member *m = &members[i];
		int r, at = (int)i + 1;

		if (m->type == ES_JSON_INT64)
			r = sqlite3_bind_int64(stmt, at, m->integer);
		else if (m->type == ES_JSON_BOOL)
			r = sqlite3_bind_text(stmt, at, m->integer ? "true" : "false", -1,
					      SQLITE_STATIC);
		else if (!m->string)
			r = sqlite3_bind_null(stmt, at);
		else if (!is_utf8((const unsigned char *)m->string, strlen(m->string)))
			return -EINVAL;
		else
			r = sqlite3_bind_text(stmt, at, m->string, -1, SQLITE_STATIC);
		if (r != SQLITE_OK)
			return r == SQLITE_NOMEM ? -ENOMEM : -EIO;
	}
	return 0;
}

int es_json_object(struct es_json *json, const struct es_json_member *members, size_t n, char **ret)
{
	cleanup_free char *sql = object_sql(members, n);
	sqlite3_stmt *stmt = NULL;
	int r;

	if (!sql)
		return -ENOMEM;
	r = sqlite3_prepare_v2(json->db, sql, -1, &stmt, NULL);
	if (r != SQLITE_OK)
		return r == SQLITE_NOMEM ? -ENOMEM : -EIO;
	r = bind_members(stmt, members, n);
	if (r == 0 && sqlite3_step(stmt) != SQLITE_ROW)
		r = -EIO;
	if (r == 0) {
		*ret = strdup((const char *)sqlite3_column_text(stmt, 0));
		r = *ret ? 0 : -ENOMEM;
	}
	sqlite3_finalize(stmt);
	return r;
}
