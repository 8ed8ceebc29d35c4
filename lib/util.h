/* SPDX-License-Identifier: Apache-2.0 */
/* Cleanup attributes, ownership transfer and other macros every file uses. Includes libc only. */
#ifndef ES_UTIL_H
#define ES_UTIL_H

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define ES_HIDDEN	     __attribute__((visibility("hidden")))
#define ES_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))

#define ES_ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

#define NSEC_PER_SEC  1000000000ULL
#define NSEC_PER_MSEC 1000000ULL

/* Close and keep errno. Never retried on EINTR: on Linux the descriptor is gone either way. */
static inline int es_close(int fd)
{
	int saved = errno;

	if (fd >= 0)
		close(fd);
	errno = saved;
	return -EBADF;
}

static inline void es_cleanup_fd(int *fd)
{
	es_close(*fd);
}

static inline void es_cleanup_free(void *p)
{
	int saved = errno;

	free(*(void **)p);
	errno = saved;
}

/* A local that releases what it holds when it goes out of scope. An unset descriptor is -EBADF. */
#define cleanup_fd   __attribute__((cleanup(es_cleanup_fd)))
#define cleanup_free __attribute__((cleanup(es_cleanup_free)))
#define CLEANUP(fn)  __attribute__((cleanup(fn)))

/* Defines the function CLEANUP() wants from a destructor that takes the pointer itself. */
#define ES_DEFINE_CLEANUP(type, destructor)                                                        \
	__attribute__((unused)) static inline void cleanup_##destructor(type **p)                  \
	{                                                                                          \
		destructor(*p);                                                                    \
	}

#define TAKE_PTR(p)                                                                                \
	({                                                                                         \
		__typeof__(p) taken_ = (p);                                                        \
		(p) = NULL;                                                                        \
		taken_;                                                                            \
	})
#define TAKE_FD(fd)                                                                                \
	({                                                                                         \
		int taken_ = (fd);                                                                 \
		(fd) = -EBADF;                                                                     \
		taken_;                                                                            \
	})

/* The value of errno as a negative number, never 0. */
static inline int es_neg_errno(void)
{
	return errno > 0 ? -errno : -EIO;
}

#endif
