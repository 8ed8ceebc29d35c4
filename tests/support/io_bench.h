/* SPDX-License-Identifier: Apache-2.0 */
/* embedshim-io with a client and a runtime of ours at its ends; no container. */
#ifndef ES_TEST_IO_BENCH_H
#define ES_TEST_IO_BENCH_H

#include "io_helper.h"
#include "stream.h"
#include "unit.h"

/* A helper, its client's ends and the process it serves. */
struct io_bench {
	char dir[PATH_MAX];
	struct es_pidref helper, process;
	int lifeline;
	int in;	    /* write end of the standard input's FIFO */
	int out;    /* read end of the output's FIFO, non-blocking */
	int pipe;   /* of a stdin: what the container reads */
	int master; /* of a terminal: our copy, closed once it is sent */
	int slave;
};

/* Make FIFOs and start it; its terminal or its process comes later. */
void start_helper(struct io_bench *b, bool terminal);
/* Hand over a master, as a runtime does. */
void send_master(struct io_bench *b, int fd);
/* Start a shell script whose streams are the terminal, or its stdin the pipe. */
void start_process(struct io_bench *b, const char *script);
/* Tell the helper that this is its process, and give up the lifeline. */
void watch(struct io_bench *b);
/* All of it, for a terminal. */
void start_terminal(struct io_bench *b, const char *script);
void end_process(struct io_bench *b);
/* The helper has ended by itself, well; everything is closed. */
void check_helper_end(struct io_bench *b);

/* Make a FIFO in the scratch directory if there is none, and open it. */
int scratch_fifo(const char *name, int flags);
/* What comes out of a non-blocking descriptor until the text is there, or its end (NULL); 20 s at
   most. */
bool read_until(int fd, const char *text);
/* Its private memory. */
long helper_private_kib(const struct io_bench *b);
int ask(struct io_bench *b, uint32_t command, uint32_t columns, uint32_t rows);

#endif
