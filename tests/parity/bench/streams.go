// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/containerd/containerd/api/services/tasks/v1"
	"github.com/embedshim/embedshim/tests/parity/host"
	"golang.org/x/sys/unix"
)

// streamed is how many bytes a container writes, and chunk how many at once: little, and its own calls would be most
// of what is measured.
const (
	streamed = 100 << 20
	chunk    = 64 << 10
)

// streams measures what comes through a container's output, and what a terminal costs, in turns.
func (b *bench) streams(rounds int) error {
	if err := b.AddBusybox(); err != nil {
		return err
	}
	for _, kind := range []struct {
		name     string
		terminal bool
	}{{"100 MB through stdout", false}, {"100 MB through a terminal", true}} {
		r := b.row(kind.name, "MB/s", 1)
		r.atLeast = true
		for range rounds {
			for _, column := range turns() {
				if column == bare {
					continue
				}
				took, err := b.stream(column, kind.terminal)
				if err != nil {
					return fmt.Errorf("%s, %s: %w", kind.name, columnNames[column], err)
				}
				r.add(column, streamed/1e6/took.Seconds())
				b.quiet()
			}
		}
	}
	return b.terminalMemory(rounds)
}

// interactive makes a container with a FIFO for its output, and gives the end to read.
func (b *bench) interactive(column int, terminal bool, args ...string) (*container, *os.File, error) {
	c := &container{bench: b, column: column}
	c.Container = host.Container{
		Runtime: runtimes[column], Namespace: namespace, ID: b.id(), Args: args, Terminal: terminal,
	}
	if err := b.Record(b.ctx, c.Container); err != nil {
		return nil, nil, err
	}
	fifo := filepath.Join(b.Shared, c.ID+"-out")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		return nil, nil, err
	}
	// Read-write, so that the open waits for nobody; the writing end is closed once the container has its own.
	both, err := os.OpenFile(fifo, os.O_RDWR, 0)
	if err != nil {
		return nil, nil, err
	}
	defer both.Close()
	out, err := os.OpenFile(fifo, os.O_RDONLY, 0)
	if err != nil {
		return nil, nil, err
	}
	request := &tasks.CreateTaskRequest{ContainerID: c.ID, Stdout: fifo, Terminal: terminal}
	if !terminal {
		request.Stderr = fifo // the shim fails with one of the two only
	}
	r, err := b.Client.TaskService().Create(b.ctx, request)
	if err != nil {
		return nil, nil, err
	}
	c.pid = int(r.Pid)
	return c, out, nil
}

// drain reads until the end, and counts.
func drain(out io.Reader) (n int, err error) {
	buffer := make([]byte, chunk)
	for {
		more, err := out.Read(buffer)
		n += more
		if err == io.EOF {
			return n, nil
		}
		if err != nil {
			return n, err
		}
	}
}

// stream is the time from the start until the last byte has come.
func (b *bench) stream(column int, terminal bool) (time.Duration, error) {
	c, out, err := b.interactive(column, terminal, "/busybox", "dd", "status=none", "if=/dev/zero",
		"bs="+strconv.Itoa(chunk), "count="+strconv.Itoa(streamed/chunk))
	if err != nil {
		return 0, err
	}
	defer out.Close()
	begin := time.Now()
	if err := c.start(); err != nil {
		return 0, err
	}
	n, err := drain(out)
	took := time.Since(begin)
	if err == nil && n != streamed {
		err = fmt.Errorf("%d bytes came", n)
	}
	return took, errors.Join(err, c.wait(), c.delete(), c.forget())
}

// terminalMemory is what the process that keeps a terminal has for itself.
func (b *bench) terminalMemory(rounds int) error {
	r := b.row("private memory beside a container with a terminal", "KiB", 0.1)
	for range rounds {
		for _, column := range []int{stock, embed} {
			c, out, err := b.interactive(column, true, "/victim", "pause", "0")
			if err != nil {
				return err
			}
			if err := c.start(); err != nil {
				return err
			}
			time.Sleep(settle)
			var sum int64
			for _, pid := range b.Helpers() {
				sum += host.Private(pid)
			}
			r.add(column, float64(sum)/1024)
			if err := errors.Join(c.end(), out.Close()); err != nil {
				return err
			}
			b.quiet()
		}
	}
	return nil
}
