/* SPDX-License-Identifier: Apache-2.0 */
/* Bounded copy of a caller's options struct. */
#ifndef ES_OPTS_H
#define ES_OPTS_H

#include "util.h"

/*
 * Copy the options at src, whose first member is their size, into dst: a shorter struct (an older
 * caller) is extended with zeros, a longer one is accepted if its surplus is zero. NULL: all zero.
 * dst's own size member becomes dst_size.
 * Returns 0, -EINVAL (size is smaller than itself) or -E2BIG (a surplus member is set).
 */
ES_HIDDEN int es_opts_copy(void *dst, size_t dst_size, const void *src);

#endif
