// SPDX-License-Identifier: Apache-2.0

package restart

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/containerd/containerd/api/services/tasks/v1"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/errdefs"
	"github.com/containerd/errdefs/pkg/errgrpc"
	"github.com/embedshim/embedshim/tests/parity/host"
)

const maxExecs = 2

// container is a container and what the test believes of it. One goroutine at a time drives it.
type container struct {
	*world
	spec   host.Container
	init   *process
	execs  []*process
	record belief
	paused belief
	random *rand.Rand
	made   int // execs made so far

	goneExecs []*process
}

// world is what all containers share.
type world struct {
	*host.Host
	streams streams
	cut     atomic.Bool     // the daemon is about to be killed
	ctx     context.Context // of calls; ends after that
	cancel  func()
	load    int // the most milliseconds before a kill
}

var errCut = errors.New("the daemon was killed")

// newContainer chooses one.
func (w *world) newContainer(id string, r *rand.Rand) *container {
	hostPid := r.IntN(2) == 0
	c := &container{world: w, random: r}
	c.init = c.process("", hostPid)
	c.spec = host.Container{
		Runtime:   host.Embed,
		Namespace: namespace,
		ID:        id,
		HostPid:   hostPid,
		Mounted:   r.IntN(2) == 0,
	}
	c.init.container = id
	c.spec.Args = c.init.args()
	w.streams.add(c.init)
	return c
}

func (c *container) process(exec string, anySignal bool) *process {
	return &process{
		container: c.spec.ID,
		exec:      exec,
		way:       chooseWay(c.random, !anySignal),
		causes:    map[uint32]time.Time{},
	}
}

func (w *world) tasks() tasks.TasksClient { return w.Client.TaskService() }

// call makes a call, and keeps believed up to date with how it went.
func (c *container) call(believed *belief, fn func(ctx context.Context) error) error {
	if c.cut.Load() {
		return errCut
	}
	if believed != nil {
		*believed = perhaps
	}
	err := fn(c.ctx)
	switch {
	case err == nil:
		if believed != nil {
			*believed = yes
		}
	case c.cut.Load():
		return errCut
	case believed != nil:
		*believed = no
	}
	if err != nil {
		err = errgrpc.ToNative(err)
	}
	return err
}

func (c *container) create() error {
	err := c.call(&c.record, func(ctx context.Context) error { return c.Record(ctx, c.spec) })
	if err != nil {
		return err
	}
	return c.createTask()
}

func (c *container) createTask() error {
	return c.call(&c.init.added, func(ctx context.Context) error {
		r, err := c.tasks().Create(ctx, &tasks.CreateTaskRequest{ContainerID: c.spec.ID, Rootfs: c.Mounts(c.spec)})
		if err == nil {
			c.init.watch(r.Pid)
		}
		return err
	})
}

func (c *container) start(p *process) error {
	if p.way.atOnce {
		p.may(p.way.status)
		if p == c.init {
			c.execsMayDie()
		}
	}
	err := c.call(&p.started, func(ctx context.Context) error {
		r, err := c.tasks().Start(ctx, &tasks.StartRequest{ContainerID: c.spec.ID, ExecID: p.exec})
		if err == nil && p != c.init {
			p.watch(r.Pid)
		}
		return err
	})
	p.doubt = p.doubt || p.way.atOnce && errors.Is(err, errCut)
	return err
}

// execsMayDie: with init they are killed.
func (c *container) execsMayDie() {
	for _, p := range c.execs {
		p.may(128 + uint32(syscall.SIGKILL))
	}
}

func (c *container) kill(p *process) error {
	p.may(128 + uint32(syscall.SIGKILL))
	if p == c.init {
		c.execsMayDie()
	}
	err := c.call(nil, func(ctx context.Context) error {
		_, err := c.tasks().Kill(ctx, &tasks.KillRequest{
			ContainerID: c.spec.ID,
			ExecID:      p.exec,
			Signal:      uint32(syscall.SIGKILL),
		})
		return err
	})
	p.doubt = errors.Is(err, errCut)
	p.halfDeleted = p.doubt
	if errdefs.IsNotFound(err) { // it has ended by itself
		return nil
	}
	return err
}

// end lets a process end in its own way. No daemon is needed for it.
func (c *container) end(p *process) error {
	p.may(p.way.status)
	if p == c.init {
		c.execsMayDie()
	}
	return os.WriteFile(filepath.Join(c.Shared, p.trigger()), nil, 0o644)
}

// killDirectly does not ask the daemon.
func (c *container) killDirectly(p *process) {
	p.doubt, p.halfDeleted = false, false
	p.may(128 + uint32(syscall.SIGKILL))
	if p == c.init {
		c.execsMayDie()
	}
	if !p.hasEnded() {
		_ = syscall.Kill(int(p.pid), syscall.SIGKILL)
	}
}

func (c *container) pause() error {
	return c.call(&c.paused, func(ctx context.Context) error {
		_, err := c.tasks().Pause(ctx, &tasks.PauseTaskRequest{ContainerID: c.spec.ID})
		return err
	})
}

func (c *container) resume() error {
	var resumed belief
	err := c.call(&resumed, func(ctx context.Context) error {
		_, err := c.tasks().Resume(ctx, &tasks.ResumeTaskRequest{ContainerID: c.spec.ID})
		return err
	})
	c.paused = yes - resumed
	return err
}

func (c *container) addExec() (*process, error) {
	c.made++
	p := c.process(fmt.Sprintf("exec%d", c.made), true)
	if c.init.mayHaveEnded() {
		p.may(128 + uint32(syscall.SIGKILL))
	}
	c.streams.add(p)
	c.execs = append(c.execs, p)
	return p, c.call(&p.added, func(ctx context.Context) error {
		_, err := c.tasks().Exec(ctx, &tasks.ExecProcessRequest{
			ContainerID: c.spec.ID,
			ExecID:      p.exec,
			Spec:        host.ExecSpec(p.args()...),
		})
		return err
	})
}

// wait waits for the end of a process, and compares.
func (c *container) wait(p *process) error {
	return c.call(nil, func(ctx context.Context) error {
		r, err := c.tasks().Wait(ctx, &tasks.WaitRequest{ContainerID: c.spec.ID, ExecID: p.exec})
		if err != nil {
			return err
		}
		c.isPublished(p)
		return p.check(result{r.ExitStatus, r.ExitedAt.AsTime()})
	})
}

// delete deletes what has ended, or was never started.
func (c *container) delete(p *process) error {
	neverRan := p.started == no
	if neverRan && p == c.init {
		p.may(128 + uint32(syscall.SIGKILL))
		c.execsMayDie()
	}
	err := c.call(&p.deleted, func(ctx context.Context) error {
		var (
			r   *tasks.DeleteResponse
			err error
		)
		if p == c.init {
			r, err = c.tasks().Delete(ctx, &tasks.DeleteTaskRequest{ContainerID: c.spec.ID})
		} else {
			r, err = c.tasks().DeleteProcess(ctx, &tasks.DeleteProcessRequest{ContainerID: c.spec.ID, ExecID: p.exec})
		}
		if err != nil || (neverRan && p != c.init) {
			return err
		}
		c.isPublished(p)
		return p.check(result{r.ExitStatus, r.ExitedAt.AsTime()})
	})
	if neverRan && p == c.init {
		p.halfDeleted = errors.Is(err, errCut)
	}
	return err
}

// isPublished notes that the exit of a process has been published, and with init's those of the execs.
func (c *container) isPublished(p *process) {
	now := time.Now()
	p.published(now)
	if p != c.init {
		return
	}
	for _, exec := range c.execs {
		exec.published(now)
	}
}

func (c *container) stats() error {
	return c.call(nil, func(ctx context.Context) error {
		r, err := c.tasks().Metrics(ctx, &tasks.MetricsRequest{Filters: []string{"id==" + c.spec.ID}})
		if err != nil {
			return err
		}
		if len(r.Metrics) != 1 || r.Metrics[0].ID != c.spec.ID || len(r.Metrics[0].Data.GetValue()) == 0 {
			return fmt.Errorf("stats of %v: %v", c.init, r.Metrics)
		}
		return nil
	})
}

// forget deletes the record of a container that has no task.
func (c *container) forget() error {
	err := c.call(nil, func(ctx context.Context) error {
		return c.Client.ContainerService().Delete(ctx, c.spec.ID)
	})
	if errors.Is(err, errCut) {
		c.record = perhaps
	}
	return err
}

func inNamespace() context.Context {
	return namespaces.WithNamespace(context.Background(), namespace)
}
