// SPDX-License-Identifier: Apache-2.0

package embed

import (
	"errors"
	"os"
	"strconv"
	"syscall"
	"time"

	apievents "github.com/containerd/containerd/api/events"
	"github.com/containerd/containerd/v2/core/runtime"
	"github.com/containerd/containerd/v2/pkg/protobuf"
	"github.com/containerd/log"
	embedshim "github.com/embedshim/embedshim/go-binding"
)

// goneWait bounds the wait for a process to be reaped before its exit is published: clients expect that its
// number is free by then. It is up to the host's init how soon that is; where it was too slow the last time,
// it is not waited for.
const goneWait = 20 * time.Millisecond

// unknownStatus is containerd's for an exit that nobody knows.
const unknownStatus = 255

// publish queues an event. Those of a task of before a restart wait until the daemon has served for a moment,
// because nobody can hear them before.
func (c *container) publish(event any) {
	c.queue.push(func() { c.publishNow(event) })
}

func (c *container) publishNow(event any) {
	select {
	case <-c.heard:
	case <-c.runtime.serving:
	case <-c.runtime.closed:
		return
	}
	if err := c.runtime.publisher.Publish(c.context(), runtime.GetTopic(event), event); err != nil {
		log.L.WithError(err).WithField("container", c.id).Errorf("cannot publish %T", event)
	}
}

// onEvent takes the library's events. One goroutine calls it.
func (r *Runtime) onEvent(e embedshim.Event) {
	defer e.Task.Close()
	select {
	case <-r.loaded:
	case <-r.closed:
		return
	}
	c := r.find(e.Task.Namespace(), e.Task.ID())
	if c == nil {
		return
	}
	switch e.Kind {
	case embedshim.EventOOM:
		c.ranOutOfMemory()
	case embedshim.EventExit:
		if c.isOf(e.Exit) {
			c.exited(c.init, e.Exit)
		}
	case embedshim.EventExecExit:
		if p := c.findExec(e.ExecID); p != nil && p.exec.TraceID() == e.Exit.TraceID {
			c.exited(p, e.Exit)
		}
	}
}

// isOf tells whether an exit can be init's: while it is being created its trace ID is not known here.
func (c *container) isOf(exit *embedshim.Exit) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.task == nil || c.task.TraceID() == exit.TraceID
}

// exited queues the publication of an exit, once the start of the process has been queued.
func (c *container) exited(p *process, exit *embedshim.Exit) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if p.exit != nil {
		return
	}
	if exit.ExitedAt.IsZero() { // lost: the time when that was found
		found := *exit
		found.ExitedAt = time.Now()
		exit = &found
	}
	p.exit = exit
	if p.announced {
		c.publishExit(p)
	}
}

// hold keeps the exit of a process back until announce.
func (c *container) hold(p *process) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p.announced = false
}

// ranOutOfMemory queues a TaskOOM, once the start of init has been queued.
func (c *container) ranOutOfMemory() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.init.announced {
		c.ooms++
		return
	}
	c.publish(&apievents.TaskOOM{ContainerID: c.id})
}

// announce queues the event that tells of a process, if there is one, and then what was held back for that: the
// container's TaskOOMs, and the exit of the process, if that is known.
func (c *container) announce(p *process, event any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if event != nil {
		c.publish(event)
	}
	p.announced = true
	for ; p == c.init && c.ooms > 0; c.ooms-- {
		c.publish(&apievents.TaskOOM{ContainerID: c.id})
	}
	if p.exit != nil {
		c.publishExit(p)
	}
}

// publishExit is called once for a process, with the lock held.
func (c *container) publishExit(p *process) {
	if p.queued {
		return
	}
	p.queued = true
	told := c.wasTold(p)
	select {
	case <-c.heard:
	case <-c.runtime.serving:
	default:
		// Of before the restart: nobody has to wait for the listeners.
		p.release()
	}
	c.queue.push(func() {
		c.runtime.waitGone(p.exit.Pid)
		if !told {
			c.publishNow(exitEvent(c, p))
			c.setTold(p)
		}
		p.release()
	})
}

func exitEvent(c *container, p *process) *apievents.TaskExit {
	exit := newExit(p.exit)
	return &apievents.TaskExit{
		ContainerID: c.id,
		ID:          p.id,
		Pid:         exit.Pid,
		ExitStatus:  exit.Status,
		ExitedAt:    protobuf.ToTimestamp(exit.Timestamp),
	}
}

// newExit is an exit in containerd's terms. One that is lost is 255, and nil is that of no process.
func newExit(e *embedshim.Exit) *runtime.Exit {
	if e == nil {
		return &runtime.Exit{}
	}
	exit := &runtime.Exit{Pid: uint32(e.Pid), Status: uint32(e.Code), Timestamp: e.ExitedAt}
	if e.Code < 0 {
		exit.Status = unknownStatus
	}
	return exit
}

// waitGone waits until no process has the number any more. A pidfd tells of the exit before that.
func (r *Runtime) waitGone(pid int) {
	gone := func() bool { return syscall.Kill(pid, 0) != nil }
	if r.slowInit.Load() {
		time.AfterFunc(goneWait, func() { r.slowInit.Store(!gone()) })
		return
	}
	deadline := time.Now().Add(goneWait)
	for pause := 50 * time.Microsecond; !gone(); pause *= 2 {
		if time.Now().After(deadline) {
			r.slowInit.Store(true)
			return
		}
		time.Sleep(pause)
	}
}

// told is the file that says that the exit of a process was published: it is not published again after a
// restart. It goes with the exec or the bundle.
func (c *container) told(p *process) string {
	return c.task.BundleDir() + "/exit-told-" + strconv.FormatUint(p.traceID(c), 10)
}

func (c *container) wasTold(p *process) bool {
	_, err := os.Lstat(c.told(p))
	return err == nil
}

func (c *container) setTold(p *process) {
	c.mu.Lock()
	deleted := c.deleted
	c.mu.Unlock()
	if deleted {
		return
	}
	f, err := os.OpenFile(c.told(p), os.O_CREATE|os.O_WRONLY, 0o600)
	if err == nil {
		f.Close()
	} else if !errors.Is(err, os.ErrNotExist) {
		log.L.WithError(err).WithField("container", c.id).Warn("its exit will be published again after a restart")
	}
}
