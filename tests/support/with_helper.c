/* SPDX-License-Identifier: Apache-2.0 */
/* es_manager_open() for an example that is built here: with the embedshim-io that was, too. */
#include <embedshim/embedshim.h>

int with_helper(const struct es_manager_opts *given, struct es_manager **ret);

int with_helper(const struct es_manager_opts *given, struct es_manager **ret)
{
	struct es_manager_opts opts = *given;

	opts.io_helper = ES_IO_HELPER;
	return es_manager_open(&opts, ret);
}
