/* SPDX-License-Identifier: Apache-2.0 */
/* Clocks in nanoseconds, and deadlines. */
#ifndef ES_CLOCK_H
#define ES_CLOCK_H

#include <stdint.h>
#include <time.h>

#include "util.h"

#define ES_DEADLINE_NEVER UINT64_MAX

static inline uint64_t es_clock_ns(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (uint64_t)t.tv_sec * NSEC_PER_SEC + (uint64_t)t.tv_nsec;
}

/* timeout_ms from now on CLOCK_MONOTONIC; negative: never. */
static inline uint64_t es_deadline_after_ms(int64_t timeout_ms)
{
	if (timeout_ms < 0)
		return ES_DEADLINE_NEVER;
	return es_clock_ns(CLOCK_MONOTONIC) + (uint64_t)timeout_ms * NSEC_PER_MSEC;
}

/* What is left until a deadline as poll(2) takes it, rounded up: -1 never, 0 passed. */
static inline int es_deadline_poll_ms(uint64_t deadline_ns)
{
	uint64_t now, left;

	if (deadline_ns == ES_DEADLINE_NEVER)
		return -1;
	now = es_clock_ns(CLOCK_MONOTONIC);
	if (now >= deadline_ns)
		return 0;
	left = (deadline_ns - now + NSEC_PER_MSEC - 1) / NSEC_PER_MSEC;
	return left > 0x7fffffff ? 0x7fffffff : (int)left;
}

#endif
