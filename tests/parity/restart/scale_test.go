// SPDX-License-Identifier: Apache-2.0

package restart

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/containerd/containerd/api/services/tasks/v1"
	"github.com/containerd/containerd/api/types/task"
	"github.com/embedshim/embedshim/tests/parity/host"
)

// moreThreads is by how many the threads of the daemon may differ between few and many containers: it is up to
// Go's scheduler how many calls happened to overlap.
const moreThreads = 8

// crowd are containers that run, with a Wait pending for each.
type crowd struct {
	*host.Host
	runtime string
	ctx     context.Context
	ids     []string
	waiting int // for how many of them a Wait is under way
	waited  chan error
}

// cost is what the containers cost, without their own processes.
type cost struct {
	threads int
	memory  int64
	helpers int
}

func (c *crowd) cost() cost {
	return cost{host.Threads(c.Pid()), c.Memory(), len(c.Helpers())}
}

// grow starts containers until there are n, by four clients at a time.
func (c *crowd) grow(n int) error {
	var (
		workers sync.WaitGroup
		mu      sync.Mutex
		failed  error
		next    = make(chan string)
	)
	for range 4 {
		workers.Go(func() {
			for id := range next {
				if err := c.run(id); err != nil {
					mu.Lock()
					failed = errors.Join(failed, fmt.Errorf("%s: %w", id, err))
					mu.Unlock()
				}
			}
		})
	}
	for len(c.ids) < n {
		id := fmt.Sprintf("c%d", len(c.ids))
		c.ids = append(c.ids, id)
		next <- id
	}
	close(next)
	workers.Wait()
	return failed
}

func (c *crowd) run(id string) error {
	spec := host.Container{Runtime: c.runtime, Namespace: namespace, ID: id, Args: []string{"/victim", "pause", "0"}}
	if err := c.Record(c.ctx, spec); err != nil {
		return err
	}
	if _, err := c.Client.TaskService().Create(c.ctx, &tasks.CreateTaskRequest{ContainerID: id}); err != nil {
		return err
	}
	_, err := c.Client.TaskService().Start(c.ctx, &tasks.StartRequest{ContainerID: id})
	return err
}

// waitAll has one call of Wait under way for each container.
func (c *crowd) waitAll() {
	for ; c.waiting < len(c.ids); c.waiting++ {
		id := c.ids[c.waiting]
		go func() {
			r, err := c.Client.TaskService().Wait(c.ctx, &tasks.WaitRequest{ContainerID: id})
			if err == nil && r.ExitStatus != 128+uint32(syscall.SIGKILL) {
				err = fmt.Errorf("%s ended with %d", id, r.ExitStatus)
			}
			c.waited <- err
		}()
	}
	// So that the calls have come to the daemon, and what starting needed has gone.
	time.Sleep(time.Second)
}

// rightList tells whether all containers are in the list and running.
func (c *crowd) rightList() bool {
	list, err := c.Client.TaskService().List(c.ctx, &tasks.ListTasksRequest{})
	if err != nil || len(list.Tasks) != len(c.ids) {
		return false
	}
	for _, t := range list.Tasks {
		if t.Status != task.Status_RUNNING {
			return false
		}
	}
	return true
}

// restart kills the daemon, starts it, and prints how long it takes until the list is right.
func (c *crowd) restart(t *testing.T) {
	if err := c.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	for ; c.waiting > 0; c.waiting-- {
		<-c.waited // with an error: the daemon has gone
	}
	if err := c.Ended(); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	serves := time.Since(start)
	if !host.Poll(settleLimit, c.rightList) {
		t.Fatalf("%s: the list is not right", c.runtime)
	}
	t.Logf("%s: serves %v after its start with %d tasks, the list is right after %v", c.runtime,
		serves.Round(time.Millisecond), len(c.ids), time.Since(start).Round(time.Millisecond))
	if c.runtime == host.Embed {
		t.Log(c.LastLog("tasks of before the start"))
	}
}

// end kills all containers, and all Waits must return that.
func (c *crowd) end(t *testing.T) {
	for _, id := range c.ids {
		_, err := c.Client.TaskService().Kill(c.ctx, &tasks.KillRequest{
			ContainerID: id, Signal: uint32(syscall.SIGKILL),
		})
		if err != nil {
			t.Error(err)
		}
	}
	for range c.ids {
		if err := <-c.waited; err != nil {
			t.Error(err)
		}
	}
	for _, id := range c.ids {
		if _, err := c.Client.TaskService().Delete(c.ctx, &tasks.DeleteTaskRequest{ContainerID: id}); err != nil {
			t.Error(err)
		}
	}
}

// measure starts few containers, then many, and prints what they cost. It gives the first and the last.
func measure(t *testing.T, runtime string, few, many int) (first, last cost) {
	c := &crowd{Host: newHost(t), runtime: runtime, ctx: inNamespace(), waited: make(chan error, many)}
	// What the first container costs is no matter of how many there are.
	if err := c.grow(1); err != nil {
		t.Fatal(err)
	}
	c.waitAll()
	base := c.cost()
	for _, n := range []int{few, many} {
		if err := c.grow(n); err != nil {
			t.Fatal(err)
		}
		c.waitAll()
		first, last = last, c.cost()
		t.Logf("%s: %d containers with a Wait each: %d threads in the daemon, %d other processes, %.0f KiB (PSS) for each more",
			runtime, n, last.threads, last.helpers, float64(last.memory-base.memory)/1024/float64(n-1))
	}
	c.restart(t)
	c.waitAll()
	t.Logf("%s: after the restart %d threads in the daemon", runtime, c.cost().threads)
	c.end(t)
	return first, last
}

// TestScale: neither threads nor processes grow with the containers. What they cost beside the stock shim is
// printed.
func TestScale(t *testing.T) {
	few, many := 10, 40
	if long() {
		few, many = 20, 200
	}
	first, last := measure(t, host.Embed, few, many)
	if last.threads > first.threads+moreThreads {
		t.Errorf("%d threads with %d containers, %d with %d", first.threads, few, last.threads, many)
	}
	if last.helpers != 0 {
		t.Errorf("%d processes beside the daemon", last.helpers)
	}
	measure(t, host.Stock, few, many)
}
