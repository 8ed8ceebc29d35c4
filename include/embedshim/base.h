/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file base.h
 * @brief What every other header needs: visibility, version, error text, log callback.
 *
 * Conventions of the whole library:
 * - A function returns 0 (or a count) on success and a negative errno on failure.
 *   Out parameters come last and are written on success only, unless said otherwise.
 * - An options struct starts with `size_t size`, which the caller sets to sizeof(the struct).
 *   Zero in any other member means the default. A NULL options pointer means all defaults
 *   where the function says so. A struct larger than the library knows is accepted when the
 *   surplus is zero; otherwise the call fails with -E2BIG.
 * - Strings are UTF-8 and NUL-terminated, borrowed for the length of the call.
 * - Every function may be called from any thread at any time, except the one that ends a
 *   handle: that must be the last call on it. After fork() a handle is unusable in the child:
 *   calls return -ECHILD.
 * - The library starts no thread, installs no signal handler and changes nothing
 *   process-wide. Every descriptor is close-on-exec.
 */
#ifndef EMBEDSHIM_BASE_H
#define EMBEDSHIM_BASE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Marks an exported function. */
#define ES_API __attribute__((visibility("default")))

/** Version of these headers. es_version() tells the version of the library at run time. */
#define ES_VERSION_MAJOR 0
#define ES_VERSION_MINOR 1
#define ES_VERSION_PATCH 0

/** Longest identifier of a task or a namespace, in bytes without the NUL (as containerd's). */
#define ES_ID_MAX 76

/** Text that explains a failure. Caller-owned; filled when a call that takes one fails. */
struct es_error {
	int32_t code; /**< the negative errno that the call returned; 0 if nothing was written */
	int32_t runtime_exit; /**< exit code of the OCI runtime (128 + signal), -1 if none was run
			       */
	char message[504];    /**< one line, NUL-terminated: names the thing and the reason */
};

/** Severity of a log line. */
enum es_log_level {
	ES_LOG_ERROR = 1,   /**< something is lost or left behind */
	ES_LOG_WARNING = 2, /**< a promise is weaker than usual on this host */
	ES_LOG_INFO = 3,    /**< recovery did something worth knowing */
	ES_LOG_DEBUG = 4    /**< for developers; also failures that were returned to the caller */
};

/**
 * @brief Receives log lines.
 *
 * Called on the thread that caused the line, with no lock of the library held. errno is
 * preserved around the call. It must not call back into the library.
 */
typedef void es_log_fn(int level, const char *message, void *userdata);

/**
 * @brief Set the process-wide receiver of log lines. The default is silence.
 *
 * @param fn        Called for every line, or NULL for silence.
 * @param userdata  Passed to fn. Borrowed until the next es_log_set().
 *
 * @par Threads  Any. A line that another thread is emitting may still reach the old receiver.
 * @par Blocking Never.
 * @since 0.1
 */
ES_API void es_log_set(es_log_fn *fn, void *userdata);

/**
 * @brief Version of the library at run time.
 * @return "MAJOR.MINOR.PATCH". Static; never freed.
 * @par Threads  Any.
 * @par Blocking Never.
 * @since 0.1
 */
ES_API const char *es_version(void);

/**
 * @brief Check a task ID or a namespace name by containerd's rule.
 *
 * 1 to ES_ID_MAX bytes: runs of ASCII letters and digits, joined by single '.', '_' or '-'
 * (containerd pkg/identifiers).
 *
 * @param id  The identifier.
 *
 * @retval 0              Valid.
 * @retval -EINVAL        NULL, empty, or a character is not allowed where it stands.
 * @retval -ENAMETOOLONG  Longer than ES_ID_MAX bytes.
 *
 * @par Threads  Any.
 * @par Blocking Never.
 * @since 0.1
 */
ES_API int es_identifier_check(const char *id);

#ifdef __cplusplus
}
#endif

#endif
