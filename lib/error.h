/* SPDX-License-Identifier: Apache-2.0 */
/* Fills a caller's struct es_error. */
#ifndef ES_ERROR_H
#define ES_ERROR_H

#include <embedshim/base.h>

#include "util.h"

/*
 * Write code and text and return code. error may be NULL. runtime_exit becomes -1; a caller that
 * knows one sets it afterwards. Control characters in the text become spaces. A text that does
 * not fit is cut at a character boundary.
 */
ES_HIDDEN int es_error_set(struct es_error *error, int code, const char *fmt, ...) ES_PRINTF(3, 4);

/* es_error_set() with ": <strerror(-code)>" behind the text. */
ES_HIDDEN int es_error_set_errno(struct es_error *error, int code, const char *fmt, ...)
	ES_PRINTF(3, 4);

/* Put "<text>: " in front of what is there; nothing if error is NULL. Keeps the code. */
ES_HIDDEN void es_error_prefix(struct es_error *error, const char *fmt, ...) ES_PRINTF(2, 3);

#endif
