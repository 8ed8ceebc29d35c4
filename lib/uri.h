/* SPDX-License-Identifier: Apache-2.0 */
/* Parts of a URI, decoded in place. */
#ifndef ES_URI_H
#define ES_URI_H

#include <stdbool.h>

#include "util.h"

/* RFC 3986 percent-encoding; form: also '+' for a space. false: malformed, or an encoded NUL. */
ES_HIDDEN bool es_uri_decode(char *s, bool form);

#endif
