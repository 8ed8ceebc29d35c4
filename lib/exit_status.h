/* SPDX-License-Identifier: Apache-2.0 */
/* The only decoder of wait statuses. */
#ifndef ES_EXIT_STATUS_H
#define ES_EXIT_STATUS_H

#include <embedshim/exit.h>

#include "util.h"

/* Set status, code, signal and the core flag from a wait status (other flags are kept). */
ES_HIDDEN void es_exit_set_status(struct es_exit *exit, int wait_status);

/* Make it a lost exit: source LOST, status and code -1, signal 0, exit times 0. */
ES_HIDDEN void es_exit_set_lost(struct es_exit *exit);

/* Fill the wall-clock times from the boot-clock ones, with the clocks as they are now. */
ES_HIDDEN void es_exit_set_real_times(struct es_exit *exit);

#endif
