/* SPDX-License-Identifier: Apache-2.0 */
/* Bounded copy of a caller's options struct. */
#include "opts.h"

#include <string.h>

int es_opts_copy(void *dst, size_t dst_size, const void *src)
{
	const unsigned char *bytes = src;
	size_t size = dst_size;

	memset(dst, 0, dst_size);
	if (src)
		memcpy(&size, src, sizeof(size));
	if (size < sizeof(size))
		return -EINVAL;
	for (size_t i = dst_size; i < size; i++)
		if (bytes[i])
			return -E2BIG;
	if (src)
		memcpy(dst, src, size < dst_size ? size : dst_size);
	memcpy(dst, &dst_size, sizeof(dst_size));
	return 0;
}
