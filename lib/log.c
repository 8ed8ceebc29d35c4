/* SPDX-License-Identifier: Apache-2.0 */
/* Hands log lines to the callback of es_log_set(). */
#include "log.h"

#include <pthread.h>
#include <stdarg.h>

/* The pair must be read together, and a line may come from any thread. */
static pthread_mutex_t receiver_lock = PTHREAD_MUTEX_INITIALIZER;
static es_log_fn *receiver_fn;
static void *receiver_userdata;

void es_log_set(es_log_fn *fn, void *userdata)
{
	pthread_mutex_lock(&receiver_lock);
	receiver_fn = fn;
	receiver_userdata = userdata;
	pthread_mutex_unlock(&receiver_lock);
}

void es_log(enum es_log_level level, const char *fmt, ...)
{
	int saved = errno;
	char text[1024];
	es_log_fn *fn;
	void *userdata;
	va_list args;

	pthread_mutex_lock(&receiver_lock);
	fn = receiver_fn;
	userdata = receiver_userdata;
	pthread_mutex_unlock(&receiver_lock);
	if (fn) {
		va_start(args, fmt);
		vsnprintf(text, sizeof(text), fmt, args);
		va_end(args);
		fn((int)level, text, userdata);
	}
	errno = saved;
}
