/* SPDX-License-Identifier: Apache-2.0 */
/* Trace IDs from a durable counter, a block at a time. */
#include <embedshim/idalloc.h>

#include <pthread.h>
#include <sqlite3.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>

#include "error.h"
#include "opts.h"
#include "step.h"

#define DEFAULT_BLOCK	     1024
#define DEFAULT_BUSY_TIMEOUT 1000

/* sqlite's limit (MAX_PATHNAME of its Unix VFS), less the suffix of the journal. */
#define PATH_LENGTH_MAX (512 - 16)

/* "ESid", so that another program's database is not taken for ours. */
#define APPLICATION_ID 0x45536964
#define SCHEMA_VERSION 1

struct es_idalloc {
	pid_t owner;
	sqlite3 *db;
	uint32_t block;
	pthread_mutex_t lock; /* protects what follows; held over the transaction of a new block */
	uint64_t next, end;   /* IDs of the block that are left: [next, end) */
	uint64_t floor;
};

static int to_errno(int code)
{
	switch (code & 0xff) {
	case SQLITE_OK:
	case SQLITE_DONE:
	case SQLITE_ROW:
		return 0;
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return -EBUSY;
	case SQLITE_READONLY:
		return -EROFS;
	case SQLITE_PERM:
	case SQLITE_AUTH:
		return -EACCES;
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
	case SQLITE_SCHEMA:
	case SQLITE_ERROR: /* a table of ours is missing or looks different */
	case SQLITE_CONSTRAINT:
	case SQLITE_MISMATCH:
		return -EBADMSG;
	case SQLITE_FULL:
		return -ENOSPC;
	case SQLITE_NOMEM:
		return -ENOMEM;
	default:
		return -EIO;
	}
}

/*
 * CANTOPEN says nothing, and the operating system's error is that of sqlite's last try: to open a
 * file for reading that could not be made. Whether its directory can be written tells more.
 */
static int open_errno(sqlite3 *db, const char *path, int code)
{
	int system = db ? sqlite3_system_errno(db) : 0;
	cleanup_free char *dir = NULL;
	const char *slash;

	if ((code & 0xff) != SQLITE_CANTOPEN || !system)
		return to_errno(code);
	slash = strrchr(path, '/');
	if (system == ENOENT && slash && slash != path) {
		dir = strndup(path, (size_t)(slash - path));
		if (dir && access(dir, W_OK) < 0)
			return es_neg_errno();
	}
	return -system;
}

static int execute(sqlite3 *db, const char *sql)
{
	return sqlite3_exec(db, sql, NULL, NULL, NULL);
}

static int get_int64(sqlite3 *db, const char *sql, int64_t *ret)
{
	sqlite3_stmt *stmt;
	int r;

	r = sqlite3_prepare_v2(db, sql, -1, &stmt, NULL);
	if (r != SQLITE_OK)
		return r;
	r = sqlite3_step(stmt);
	if (r == SQLITE_ROW && sqlite3_column_type(stmt, 0) != SQLITE_INTEGER)
		r = SQLITE_CORRUPT;
	if (r == SQLITE_ROW)
		*ret = sqlite3_column_int64(stmt, 0);
	sqlite3_finalize(stmt);
	return r == SQLITE_ROW ? SQLITE_OK : r == SQLITE_DONE ? SQLITE_CORRUPT : r;
}

/* 0: ours; -ENOENT: empty; -EBADMSG: of another program, or of a later version of this one. */
static int check_schema(sqlite3 *db)
{
	int64_t application, version, tables;
	int r;

	if ((r = get_int64(db, "PRAGMA application_id", &application)) != SQLITE_OK ||
	    (r = get_int64(db, "PRAGMA user_version", &version)) != SQLITE_OK ||
	    (r = get_int64(db, "SELECT count(*) FROM sqlite_schema", &tables)) != SQLITE_OK)
		return to_errno(r);
	if (application == APPLICATION_ID && version == SCHEMA_VERSION)
		return 0;
	return application || version || tables ? -EBADMSG : -ENOENT;
}

/* Inside a transaction: move the counter past a block that begins above the floor. */
static int advance(struct es_idalloc *a, uint64_t *first, uint64_t *end)
{
	char sql[96];
	int64_t next;
	int r;

	r = get_int64(a->db, "SELECT next FROM trace_id", &next);
	if (r != SQLITE_OK)
		return to_errno(r);
	if (next <= 0)
		return -EBADMSG;
	*first = (uint64_t)next > a->floor ? (uint64_t)next : a->floor + 1;
	/* The column is a signed integer: half of the IDs have to do. */
	if (*first > (uint64_t)INT64_MAX - a->block)
		return -EOVERFLOW;
	*end = *first + a->block;
	snprintf(sql, sizeof(sql), "UPDATE trace_id SET next = %llu", (unsigned long long)*end);
	r = execute(a->db, sql);
	if (r != SQLITE_OK)
		return to_errno(r);
	return sqlite3_changes(a->db) == 1 ? 0 : -EBADMSG;
}

static int make_schema(sqlite3 *db)
{
	return to_errno(execute(db, "CREATE TABLE trace_id ("
				    " only INTEGER PRIMARY KEY CHECK (only = 1),"
				    " next INTEGER NOT NULL CHECK (next > 0));"
				    "INSERT INTO trace_id VALUES (1, 1);"
				    "PRAGMA application_id = 1163094372;"
				    "PRAGMA user_version = 1;"));
}
_Static_assert(APPLICATION_ID == 1163094372 && SCHEMA_VERSION == 1, "as in the statements");

static int end_transaction(sqlite3 *db, int r)
{
	if (r == 0)
		r = to_errno(execute(db, "COMMIT"));
	if (r < 0)
		execute(db, "ROLLBACK");
	return r;
}

/* Make an empty database ours. IMMEDIATE: another process may be about to do the same. */
static int set_up(sqlite3 *db)
{
	int r;

	/* In one transaction: another process must not make it ours between two of the looks. */
	r = to_errno(execute(db, "BEGIN"));
	if (r < 0)
		return r;
	r = check_schema(db);
	if (r < 0 && r != -ENOENT)
		return r;
	/* Nothing was written; after a failure the message of that is needed. */
	execute(db, "ROLLBACK");
	if (r == 0)
		return r;
	r = to_errno(execute(db, "BEGIN IMMEDIATE"));
	if (r < 0)
		return r;
	r = check_schema(db);
	if (r == -ENOENT)
		r = make_schema(db);
	return end_transaction(db, r);
}

static int reserve_block(struct es_idalloc *a)
{
	uint64_t first = 0, end = 0;
	int r;

	/* IMMEDIATE: two processes must not both read the same counter. */
	r = to_errno(execute(a->db, "BEGIN IMMEDIATE"));
	if (r < 0)
		return r;
	r = end_transaction(a->db, advance(a, &first, &end));
	if (r < 0)
		return r;
	es_step("ids.reserved");
	a->next = first;
	a->end = end;
	return 0;
}

static int explain(const struct es_idalloc_opts *opts, sqlite3 *db, int r)
{
	if (r == -EBADMSG)
		return es_error_set(
			opts->error, r,
			"trace-ID database %s is damaged or not ours (%s); move it away "
			"and a new one is made above every ID that is in use",
			opts->path, sqlite3_errmsg(db));
	if (r == -EBUSY)
		return es_error_set(opts->error, r,
				    "trace-ID database %s is locked by another process",
				    opts->path);
	if (r == -EIO)
		return es_error_set(opts->error, r, "trace-ID database %s: %s", opts->path,
				    sqlite3_errmsg(db));
	return es_error_set_errno(opts->error, r, "trace-ID database %s", opts->path);
}

static int open_database(struct es_idalloc *a, const struct es_idalloc_opts *opts)
{
	const uint32_t timeout =
		opts->busy_timeout_ms ? opts->busy_timeout_ms : DEFAULT_BUSY_TIMEOUT;
	struct stat st;
	int r;

	if (strlen(opts->path) > PATH_LENGTH_MAX)
		return -ENAMETOOLONG;
	/* sqlite would open a FIFO and wait, and take a directory for a disk error. */
	if (stat(opts->path, &st) == 0 && !S_ISREG(st.st_mode))
		return -EBADMSG;
	r = sqlite3_open_v2(opts->path, &a->db,
			    SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, NULL);
	if (r != SQLITE_OK)
		return open_errno(a->db, opts->path, r);
	if (chmod(opts->path, 0600) < 0 && errno != EROFS && errno != ENOENT)
		return es_neg_errno();
	sqlite3_extended_result_codes(a->db, 1);
	sqlite3_busy_timeout(a->db, timeout > INT32_MAX ? INT32_MAX : (int)timeout);
	r = execute(a->db, "PRAGMA synchronous = FULL; PRAGMA trusted_schema = OFF;");
	return r == SQLITE_OK ? set_up(a->db) : open_errno(a->db, opts->path, r);
}

int es_idalloc_open(const struct es_idalloc_opts *caller_opts, struct es_idalloc **ret)
{
	struct es_idalloc_opts opts;
	struct es_idalloc *a;
	int r;

	if (!caller_opts || !ret)
		return -EINVAL;
	r = es_opts_copy(&opts, sizeof(opts), caller_opts);
	if (r < 0)
		return r;
	if (!opts.path)
		return es_error_set(opts.error, -EINVAL, "no path of the trace-ID database given");
	a = calloc(1, sizeof(*a));
	if (!a)
		return -ENOMEM;
	a->owner = getpid();
	a->block = opts.block ? opts.block : DEFAULT_BLOCK;
	a->floor = opts.floor;
	pthread_mutex_init(&a->lock, NULL);
	r = opts.floor > INT64_MAX ? -EOVERFLOW : open_database(a, &opts);
	if (r < 0) {
		r = explain(&opts, a->db, r);
		es_idalloc_free(a);
		return r;
	}
	*ret = a;
	return 0;
}

int es_idalloc_next(struct es_idalloc *a, uint64_t *ret)
{
	int r = 0;

	if (!a || !ret)
		return -EINVAL;
	if (a->owner != getpid())
		return -ECHILD;
	pthread_mutex_lock(&a->lock);
	if (a->next == a->end)
		r = reserve_block(a);
	if (r == 0)
		*ret = a->next++;
	pthread_mutex_unlock(&a->lock);
	return r;
}

void es_idalloc_free(struct es_idalloc *a)
{
	if (!a)
		return;
	/* A connection must not be closed in another process than the one that opened it. */
	if (a->owner == getpid())
		sqlite3_close(a->db);
	pthread_mutex_destroy(&a->lock);
	free(a);
}
