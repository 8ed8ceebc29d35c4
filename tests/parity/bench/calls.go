// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"time"

	eventsapi "github.com/containerd/containerd/api/events"
	"github.com/embedshim/embedshim/tests/parity/host"
)

// exits are the times at which TaskExits came, by container.
type exits struct {
	mu   sync.Mutex
	came map[string]chan time.Time
}

func (e *exits) of(id string) chan time.Time {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.came[id] == nil {
		e.came[id] = make(chan time.Time, 1)
	}
	return e.came[id]
}

// calls measures one call after the other, with one container at a time, in turns.
func (b *bench) calls(rounds int) error {
	var (
		create = b.row("Create", "ms", 0)
		start  = b.row("Start", "ms", 0)
		both   = b.row("Create + Start", "ms", 0.65)
		event  = b.row("SIGKILL → TaskExit (bare: pidfd)", "ms", 0.3)
		wait   = b.row("SIGKILL → Wait", "ms", 0)
		remove = b.row("Task.Delete", "ms", 0.4)
		seen   = &exits{came: map[string]chan time.Time{}}
	)
	listener, err := b.Listen(namespace, func(_ time.Time, event any) {
		if e, ok := event.(*eventsapi.TaskExit); ok && e.ID == e.ContainerID {
			seen.of(e.ID) <- time.Now()
		}
	})
	if err != nil {
		return err
	}
	defer listener.Stop()
	for range rounds {
		for _, column := range turns() {
			c, err := b.container(column, nil)
			if err != nil {
				return err
			}
			var t [2]time.Duration
			for i, step := range []func() error{c.create, c.start} {
				begin := time.Now()
				if err := step(); err != nil {
					return fmt.Errorf("%s: %w", columnNames[column], err)
				}
				t[i] = time.Since(begin)
			}
			create.addTime(column, t[0])
			start.addTime(column, t[1])
			both.addTime(column, t[0]+t[1])
			begin, known, err := c.killed()
			if err != nil {
				return err
			}
			if column == bare {
				event.addTime(column, known.Sub(begin))
			} else {
				event.addTime(column, (<-seen.of(c.ID)).Sub(begin))
				wait.addTime(column, known.Sub(begin))
			}
			begin = time.Now()
			if err := c.delete(); err != nil {
				return err
			}
			remove.addTime(column, time.Since(begin))
			if err := c.forget(); err != nil {
				return err
			}
			b.quiet()
		}
	}
	return nil
}

// execs measures execs that end at once, in one container for each runtime, in turns.
func (b *bench) execs(rounds int) error {
	var (
		r   = b.row("Exec + Start + Wait of an exec", "ms", 0.8)
		all [columns]*container
		err error
	)
	for column := range columns {
		if all[column], err = b.container(column, nil); err != nil {
			return err
		}
		if err := errors.Join(all[column].create(), all[column].start()); err != nil {
			return err
		}
	}
	for n := range rounds {
		for _, column := range turns() {
			c := all[column]
			id := fmt.Sprintf("e%d", n)
			begin := time.Now()
			if err := c.execTrue(id); err != nil {
				return fmt.Errorf("%s: %w", columnNames[column], err)
			}
			r.addTime(column, time.Since(begin))
			if err := c.deleteExec(id); err != nil {
				return err
			}
		}
	}
	return endAll(all[:])
}

// ctr measures ctr as a whole: it starts, runs a container, waits, and deletes it.
func (b *bench) ctr(rounds int) error {
	for _, kind := range []struct {
		name string
		args []string
	}{
		{"ctr run --rm", nil},
		{"ctr run --rm --null-io", []string{"--null-io"}},
	} {
		r := b.row(kind.name+" (bare: runc run)", "ms", 0.6)
		for range rounds {
			for _, column := range turns() {
				took, err := b.ctrRun(column, kind.args)
				if err != nil {
					fmt.Fprintf(os.Stderr, "%s, %s: %v\n", kind.name, columnNames[column], err)
					r.values[column] = nil
					break
				}
				r.addTime(column, took)
				b.quiet()
			}
		}
	}
	return nil
}

func (b *bench) ctrRun(column int, args []string) (time.Duration, error) {
	if column == bare {
		c := &container{bench: b, column: bare}
		c.Container = host.Container{Namespace: namespace, ID: b.id(), Args: []string{"/victim", "exit", "0"}}
		if err := c.prepareBare(); err != nil {
			return 0, err
		}
		begin := time.Now()
		err := c.runc("run", "--bundle", c.bundle, c.ID)
		took := time.Since(begin)
		return took, errors.Join(err, c.forget())
	}
	id := b.id()
	args = append([]string{
		"--address", b.Address, "--namespace", namespace, "run", "--rm", "--rootfs",
		"--runtime", runtimes[column], "--cgroup", b.Cgroup + "/" + namespace + "/" + id,
	}, args...)
	command := exec.Command(b.Stock+"/ctr", append(args, b.Rootfs, id, "/victim", "exit", "0")...)
	begin := time.Now()
	out, err := command.CombinedOutput()
	took := time.Since(begin)
	if err != nil {
		// What a failed ctr leaves would be counted as left.
		_ = b.Client.ContainerService().Delete(b.ctx, id)
		return 0, fmt.Errorf("%w: %s", err, out)
	}
	return took, nil
}
