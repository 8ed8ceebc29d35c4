// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"slices"
	"syscall"
	"time"

	"github.com/containerd/containerd/api/services/tasks/v1"
	"github.com/containerd/containerd/api/types/task"
	"github.com/embedshim/embedshim/tests/parity/host"
	"golang.org/x/sync/errgroup"
)

// perRun is how many containers one measurement of the throughput starts.
const perRun = 24

// settle is what the daemon, and shims that end, are given before memory is looked at.
const settle = 3 * time.Second

// crowd starts n containers by some clients at a time.
func (b *bench) crowd(column, n, clients int, labels map[string]string) ([]*container, time.Duration, error) {
	var all []*container
	for range n {
		c, err := b.container(column, labels)
		if err != nil {
			return nil, 0, err
		}
		all = append(all, c)
	}
	var group errgroup.Group
	group.SetLimit(clients)
	begin := time.Now()
	for _, c := range all {
		group.Go(func() error { return errors.Join(c.create(), c.start()) })
	}
	err := group.Wait()
	return all, time.Since(begin), err
}

func endAll(all []*container) error {
	for _, c := range all {
		if err := c.end(); err != nil {
			return err
		}
	}
	return nil
}

// throughput measures how many containers are started in a second.
func (b *bench) throughput(rounds int) error {
	for _, clients := range []int{1, 4, 8} {
		r := b.row(fmt.Sprintf("started per second, %d clients", clients), "1/s", 0)
		if clients == 4 {
			r.target, r.atLeast = 1.5, true
		}
		for range rounds {
			for column := range columns {
				all, took, err := b.crowd(column, perRun, clients, nil)
				if err != nil {
					return err
				}
				r.add(column, perRun/took.Seconds())
				if err := endAll(all); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// restarts measures the time from the start of the daemon until its list is right.
func (b *bench) restarts(n int) error {
	none := b.row("restart with none running", "ms", 0)
	rows := map[syscall.Signal]*row{
		syscall.SIGTERM: b.row(fmt.Sprintf("restart with %d running, after SIGTERM", n), "ms", 0.2),
		syscall.SIGKILL: b.row(fmt.Sprintf("restart with %d running, after SIGKILL", n), "ms", 0.2),
	}
	for range 3 {
		took, err := b.restart(syscall.SIGTERM, nil)
		if err != nil {
			return err
		}
		for _, column := range []int{stock, embed} {
			none.addTime(column, took)
		}
	}
	for _, column := range []int{stock, embed} {
		all, _, err := b.crowd(column, n, 4, nil)
		if err != nil {
			return err
		}
		for range 3 {
			for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
				took, err := b.restart(signal, all)
				if err != nil {
					return err
				}
				rows[signal].addTime(column, took)
			}
		}
		if column == embed {
			fmt.Println(b.LastLog("tasks of before the start"))
		}
		if err := endAll(all); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) restart(signal syscall.Signal, all []*container) (time.Duration, error) {
	if err := b.Stop(signal); err != nil {
		return 0, err
	}
	begin := time.Now()
	if err := b.Start(); err != nil {
		return 0, err
	}
	if !host.Poll(time.Minute, func() bool { return b.listed(all) }) {
		return 0, errors.New("the list is not right")
	}
	return time.Since(begin), nil
}

// listed tells whether the list of tasks is right.
func (b *bench) listed(all []*container) bool {
	list, err := b.Client.TaskService().List(b.ctx, &tasks.ListTasksRequest{})
	return err == nil && len(list.Tasks) == len(all) &&
		!slices.ContainsFunc(list.Tasks, func(p *task.Process) bool { return p.Status != task.Status_RUNNING })
}

// memory measures what the daemon and the shims use for each container.
func (b *bench) memory(most int) error {
	for _, kind := range []struct {
		name   string
		target float64
		labels map[string]string
	}{
		{"a shim each", 0.05, nil},
		{"one shim for all", 0.5, map[string]string{"io.containerd.runc.v2.group": "all"}},
	} {
		for _, n := range []int{1, 20, most} {
			r := b.row(fmt.Sprintf("memory for each of %d, %s", n, kind.name), "KiB", kind.target)
			for _, column := range []int{stock, embed} {
				if err := b.memoryOf(r, column, n, kind.labels); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// memoryOf takes a daemon that has done nothing else.
func (b *bench) memoryOf(r *row, column, n int, labels map[string]string) error {
	if err := errors.Join(b.Stop(syscall.SIGTERM), b.Start()); err != nil {
		return err
	}
	// What the first container and the first calls need stays.
	all, _, err := b.crowd(column, 4, 4, labels)
	if err != nil {
		return err
	}
	if err := endAll(all); err != nil {
		return err
	}
	host.Poll(time.Minute, func() bool { return len(b.Helpers()) == 0 })
	time.Sleep(settle)
	before := b.Memory()
	if all, _, err = b.crowd(column, n, 4, labels); err != nil {
		return err
	}
	time.Sleep(settle)
	r.add(column, float64(b.Memory()-before)/1024/float64(n))
	return endAll(all)
}
