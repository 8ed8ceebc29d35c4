// SPDX-License-Identifier: Apache-2.0

package restart

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/containerd/containerd/api/services/tasks/v1"
	task "github.com/containerd/containerd/api/types/task"
	"github.com/containerd/errdefs"
	"github.com/containerd/errdefs/pkg/errgrpc"
	"github.com/embedshim/embedshim/tests/parity/host"
)

// settleLimit is how long something that was cut short may take to come to an end.
const settleLimit = 30 * time.Second

func (c *container) get(p *process) (*task.Process, error) {
	r, err := c.tasks().Get(c.ctx, &tasks.GetRequest{ContainerID: c.spec.ID, ExecID: p.exec})
	if err != nil {
		return nil, errgrpc.ToNative(err)
	}
	return r.Process, nil
}

// verifyEnded is called as soon as the daemon serves: what ended before it was started has to be known.
func (c *container) verifyEnded() error {
	for _, p := range append([]*process{c.init}, c.execs...) {
		if !p.overdue || p.started != yes || p.deleted != no || c.init.deleted != no {
			continue
		}
		if p == c.init && c.heldBack() {
			continue
		}
		state, err := c.get(p)
		if err != nil {
			return fmt.Errorf("%v after the restart: %w", p, err)
		}
		if state.Status != task.Status_STOPPED {
			return fmt.Errorf("%v had ended before the restart and is %v", p, state.Status)
		}
		if err := p.check(result{state.ExitStatus, state.ExitedAt.AsTime()}); err != nil {
			return err
		}
		counters.endedMeanwhile++
	}
	return nil
}

// heldBack tells whether init's exit has to wait for that of an exec, or for a start that was cut short.
func (c *container) heldBack() bool {
	return slices.ContainsFunc(c.execs, func(p *process) bool {
		return p.started == perhaps || p.started == yes && !p.overdue
	})
}

// quiet waits until no command of the OCI runtime runs any more: one that has outlived the daemon goes on.
func (w *world) quiet() error {
	var running []string
	if !host.Poll(settleLimit, func() bool {
		running = w.Things(namespace)[""]
		return len(running) == 0
	}) {
		return fmt.Errorf("%q", running)
	}
	return nil
}

// verify compares the container with what is believed, and turns perhaps into yes or no.
func (c *container) verify() error {
	if c.record == perhaps {
		_, err := c.Client.ContainerService().Get(c.ctx, c.spec.ID)
		if err != nil && !errdefs.IsNotFound(err) {
			return err
		}
		c.record = no
		if err == nil {
			c.record = yes
		}
	}
	state, err := c.get(c.init)
	if errdefs.IsNotFound(err) {
		return c.verifyAbsent()
	}
	if err != nil {
		return err
	}
	if c.init.added == no || c.init.deleted == yes {
		return fmt.Errorf("there is a task: %v", c.init)
	}
	if err := c.init.adopt(state); err != nil {
		return err
	}
	if err := c.verifyInit(); err != nil {
		return err
	}
	execs := c.execs
	c.execs = nil
	for _, p := range execs {
		if err := c.verifyExec(p); err != nil {
			return err
		}
	}
	if c.init.mayHaveEnded() || c.init.started == no {
		return nil
	}
	return c.stats()
}

// verifyAbsent: there is no task. Then there is nothing else of it, either.
func (c *container) verifyAbsent() error {
	if c.init.added == yes && c.init.deleted == no {
		return fmt.Errorf("the task is lost: %v", c.init)
	}
	var left []string
	if !host.Poll(settleLimit, func() bool {
		left = c.Things(namespace)[c.spec.ID]
		return len(left) == 0
	}) {
		return fmt.Errorf("left of %v: %q", c.init, left)
	}
	if c.init.added == yes {
		c.init.deleted = yes
		// Before its bundle goes, its exit is published. That may have been in transit.
		c.streams.publishedBeforeKill(append(c.execs, c.init))
	} else {
		c.init.added = no
	}
	return nil
}

// adopt takes what the daemon says of a process that was asked for when it was killed.
func (p *process) adopt(state *task.Process) error {
	p.added, p.deleted = yes, no
	switch {
	case state.Pid == 0:
	case p.pid == 0 && state.Status == task.Status_STOPPED:
		p.pid = state.Pid
		p.sawEnd()
	case p.pid == 0:
		p.watch(state.Pid)
	case p.pid != state.Pid:
		return fmt.Errorf("%v has pid %d", p, state.Pid)
	}
	return nil
}

// settled waits until the state of a process is a possible one.
func (c *container) settled(p *process, possible func() []task.Status) (*task.Process, error) {
	var (
		state *task.Process
		err   error
		want  []task.Status
	)
	if host.Poll(settleLimit, func() bool {
		want = possible()
		if state, err = c.get(p); err != nil {
			return false
		}
		for _, status := range want {
			if state.Status == status {
				return true
			}
		}
		return false
	}) {
		return state, nil
	}
	return nil, fmt.Errorf("%v is %v (%w), and can be %v", p, state, err, want)
}

func (c *container) verifyInit() error {
	p := c.init
	state, err := c.settled(p, func() []task.Status {
		switch {
		case p.hasEnded():
			return []task.Status{task.Status_STOPPED}
		case c.Freezer(namespace, c.spec.ID):
			return []task.Status{task.Status_PAUSED}
		case p.started == perhaps:
			return []task.Status{task.Status_CREATED, task.Status_RUNNING}
		case p.started == no:
			return []task.Status{task.Status_CREATED}
		}
		return []task.Status{task.Status_RUNNING}
	})
	if err != nil {
		return err
	}
	frozen := state.Status == task.Status_PAUSED
	if p.started == yes && !p.mayHaveEnded() && c.paused != perhaps && frozen != (c.paused == yes) {
		return fmt.Errorf("%v is %v, and was paused: %v", p, state.Status, c.paused)
	}
	c.paused = no
	if frozen {
		c.paused = yes
	}
	if p.started == perhaps {
		p.started = yes
		if state.Status == task.Status_CREATED {
			p.started = no
		}
	}
	if state.Status == task.Status_STOPPED {
		return p.check(result{state.ExitStatus, state.ExitedAt.AsTime()})
	}
	return nil
}

func (c *container) verifyExec(p *process) error {
	state, err := c.get(p)
	if errdefs.IsNotFound(err) && (p.added != yes || p.deleted == perhaps) {
		if p.added != yes {
			p.added = no
		}
		p.deleted = yes
		c.goneExecs = append(c.goneExecs, p)
		return nil
	}
	if err != nil {
		return fmt.Errorf("%v: %w", p, err)
	}
	if p.added == no || p.deleted == yes {
		return fmt.Errorf("there is an exec: %v", p)
	}
	c.execs = append(c.execs, p)
	if err := p.adopt(state); err != nil {
		return err
	}
	state, err = c.settled(p, func() []task.Status {
		switch {
		case p.hasEnded():
			return []task.Status{task.Status_STOPPED}
		case p.started == no:
			return []task.Status{task.Status_CREATED}
		case c.paused == yes:
			return []task.Status{task.Status_PAUSED, task.Status_CREATED}
		case p.started == perhaps:
			return []task.Status{task.Status_CREATED, task.Status_RUNNING, task.Status_STOPPED}
		}
		return []task.Status{task.Status_RUNNING}
	})
	if err != nil {
		return err
	}
	if state.Status == task.Status_CREATED {
		if p.started == yes {
			return fmt.Errorf("%v is not started any more", p)
		}
		p.started = no
		return nil
	}
	p.started = yes
	if state.Status == task.Status_STOPPED {
		return p.check(result{state.ExitStatus, state.ExitedAt.AsTime()})
	}
	return nil
}

// finish ends what is left of a container, and deletes all of it.
func (c *container) finish() error {
	if c.init.added == yes && c.init.deleted == no {
		if err := c.finishTask(); err != nil {
			return err
		}
	}
	if c.record == no {
		return nil
	}
	return c.forget()
}

func (c *container) finishTask() error {
	if c.paused == yes {
		if err := c.resume(); err != nil {
			return err
		}
	}
	for _, p := range c.execs {
		if p.started == yes && c.random.IntN(3) == 0 {
			if err := c.endWaited(p); err != nil {
				return err
			}
			if err := c.delete(p); err != nil {
				return err
			}
		}
	}
	if c.init.started == no && c.random.IntN(2) == 0 {
		return c.delete(c.init)
	}
	if err := c.endWaited(c.init); err != nil {
		return err
	}
	for _, p := range c.execs {
		if p.started != yes || p.deleted == yes {
			continue
		}
		if err := c.wait(p); err != nil {
			return err
		}
	}
	return c.delete(c.init)
}

// endWaited ends a process while somebody waits for that.
func (c *container) endWaited(p *process) error {
	waited := make(chan error, 1)
	go func() { waited <- c.wait(p) }()
	time.Sleep(time.Duration(c.random.IntN(5)) * time.Millisecond)
	var err error
	switch {
	case p.mayHaveEnded() && !p.doubt && !p.halfDeleted:
	case p.started == no || c.random.IntN(2) == 0:
		err = c.kill(p)
	default:
		err = c.end(p)
	}
	if err != nil {
		return err
	}
	select {
	case err = <-waited:
	case <-time.After(settleLimit):
		return fmt.Errorf("Wait for %v does not return", p)
	}
	if err != nil {
		return err
	}
	state, err := c.get(p)
	if err != nil {
		return err
	}
	if state.Status != task.Status_STOPPED {
		return fmt.Errorf("%v is %v after Wait", p, state.Status)
	}
	return p.check(result{state.ExitStatus, state.ExitedAt.AsTime()})
}

// listed says what is wrong with the list of all tasks.
func (w *world) listed(known map[string]*container) error {
	ctx, cancel := context.WithTimeout(w.ctx, settleLimit)
	defer cancel()
	list, err := w.tasks().List(ctx, &tasks.ListTasksRequest{})
	if err != nil {
		return err
	}
	seen := map[string]bool{}
	for _, t := range list.Tasks {
		if seen[t.ID] = true; known[t.ID] == nil {
			return fmt.Errorf("the list has %v", t)
		}
	}
	for id := range known {
		if !seen[id] {
			return fmt.Errorf("%s is not in the list", id)
		}
	}
	return nil
}
