/* SPDX-License-Identifier: Apache-2.0 */
#include "followed.h"

int spawn_followed(struct es_exitsnoop *snoop, uint64_t id, char *const argv[], const char *cwd,
		   struct es_pidref *ref)
{
	struct es_spawn spawn = { .program = argv[0],
				  .argv = argv,
				  .cwd = cwd,
				  .fd = { -1, -1, -1 },
				  .mark_prog_fd = es_exitsnoop_mark_prog_fd(snoop),
				  .mark_arg = id };
	int r;

	if ((r = es_exitsnoop_reserve(snoop, id)) < 0 || (r = es_exitsnoop_follow(snoop, id)) < 0)
		return r;
	return es_spawn(&spawn, ref);
}
