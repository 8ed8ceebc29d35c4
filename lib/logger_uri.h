/* SPDX-License-Identifier: Apache-2.0 */
/* binary:// and binary-v2://: which program logs, and with which arguments. */
#ifndef ES_LOGGER_URI_H
#define ES_LOGGER_URI_H

#include <stdbool.h>

#include "util.h"

struct es_logger_uri {
	bool ready_byte; /* v2: a byte says ready, and the end without one that it has failed */
	char **argv;	 /* the program's absolute path, then key and value of each parameter */
	char *text;	 /* they point into it */
};

ES_HIDDEN bool es_logger_uri_is(const char *uri);
/* 0, -EINVAL (malformed, or no absolute path), -ENOMEM. A key that comes again is passed over. */
ES_HIDDEN int es_logger_uri_parse(const char *uri, struct es_logger_uri *ret);
ES_HIDDEN void es_logger_uri_clear(struct es_logger_uri *uri);

#endif
