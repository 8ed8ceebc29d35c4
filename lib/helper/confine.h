/* SPDX-License-Identifier: Apache-2.0 */
/* Gives up every privilege and every system call that the helper does not need. */
#ifndef ES_HELPER_CONFINE_H
#define ES_HELPER_CONFINE_H

/* 0 or a negative errno. After it nothing can be opened, executed or signalled. */
int confine(void);

#endif
