// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/containerd/containerd/api/services/tasks/v1"
	"github.com/embedshim/embedshim/tests/parity/host"
	"golang.org/x/sys/unix"
)

// container is one that is measured: with a task of containerd, or with runc itself.
type container struct {
	*bench
	column int
	host.Container

	bundle string // of bare runc
	pid    int
}

// container prepares one, which costs none of what is measured.
func (b *bench) container(column int, labels map[string]string) (*container, error) {
	c := &container{bench: b, column: column}
	c.Container = host.Container{
		Runtime: runtimes[column], Namespace: namespace, ID: b.id(),
		Args: []string{"/victim", "pause", "0"}, Labels: labels,
	}
	if column == bare {
		return c, c.prepareBare()
	}
	return c, b.Record(b.ctx, c.Container)
}

func (c *container) prepareBare() error {
	var err error
	if c.bundle, err = os.MkdirTemp(c.Shared, "bundle-"); err != nil {
		return err
	}
	spec, err := c.Spec(c.Container)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(c.bundle, "config.json"), spec, 0o644)
}

// runc runs a command of bare runc.
func (c *container) runc(args ...string) error {
	all := append([]string{"--root", c.RuncRoot() + "-bare", "--log", c.bundle + "/log.json"}, args...)
	command := exec.Command("runc", all...)
	command.Dir = c.bundle
	if err := command.Run(); err != nil {
		log, _ := os.ReadFile(c.bundle + "/log.json")
		return fmt.Errorf("runc %s: %w: %s", strings.Join(args, " "), err, log)
	}
	return nil
}

func (c *container) create() error {
	if c.column != bare {
		r, err := c.Client.TaskService().Create(c.ctx, &tasks.CreateTaskRequest{ContainerID: c.ID})
		if err == nil {
			c.pid = int(r.Pid)
		}
		return err
	}
	pidFile := c.bundle + "/init.pid"
	if err := c.runc("create", "--bundle", c.bundle, "--pid-file", pidFile, c.ID); err != nil {
		return err
	}
	text, err := os.ReadFile(pidFile)
	if err == nil {
		c.pid, err = strconv.Atoi(string(text))
	}
	return err
}

func (c *container) start() error {
	if c.column == bare {
		return c.runc("start", c.ID)
	}
	_, err := c.Client.TaskService().Start(c.ctx, &tasks.StartRequest{ContainerID: c.ID})
	return err
}

// execTrue runs a process that ends at once, and waits for its end.
func (c *container) execTrue(id string) error {
	if c.column == bare {
		return c.runc("exec", c.ID, "/victim", "exit", "0")
	}
	t := c.Client.TaskService()
	_, err := t.Exec(c.ctx, &tasks.ExecProcessRequest{
		ContainerID: c.ID, ExecID: id, Spec: host.ExecSpec("/victim", "exit", "0"),
	})
	if err != nil {
		return err
	}
	waited := make(chan error, 1)
	go func() {
		r, err := t.Wait(c.ctx, &tasks.WaitRequest{ContainerID: c.ID, ExecID: id})
		if err == nil && r.ExitStatus != 0 {
			err = fmt.Errorf("exec ended with %d", r.ExitStatus)
		}
		waited <- err
	}()
	if _, err := t.Start(c.ctx, &tasks.StartRequest{ContainerID: c.ID, ExecID: id}); err != nil {
		return err
	}
	return <-waited
}

func (c *container) deleteExec(id string) error {
	if c.column == bare {
		return nil
	}
	_, err := c.Client.TaskService().DeleteProcess(c.ctx, &tasks.DeleteProcessRequest{ContainerID: c.ID, ExecID: id})
	return err
}

// killed kills init, not by way of the daemon. It gives the time of that, and when it was known.
func (c *container) killed() (begin, known time.Time, err error) {
	waited := make(chan error, 1)
	go func() { waited <- c.wait() }()
	// By then the call has come to the daemon.
	time.Sleep(20 * time.Millisecond)
	begin = time.Now()
	err = syscall.Kill(c.pid, syscall.SIGKILL)
	err = errors.Join(err, <-waited)
	return begin, time.Now(), err
}

func (c *container) wait() error {
	if c.column != bare {
		_, err := c.Client.TaskService().Wait(c.ctx, &tasks.WaitRequest{ContainerID: c.ID})
		return err
	}
	fd, err := unix.PidfdOpen(c.pid, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	_, err = unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, -1)
	return err
}

func (c *container) delete() error {
	if c.column == bare {
		return c.runc("delete", c.ID)
	}
	_, err := c.Client.TaskService().Delete(c.ctx, &tasks.DeleteTaskRequest{ContainerID: c.ID})
	return err
}

// forget removes what container made.
func (c *container) forget() error {
	if c.column == bare {
		return os.RemoveAll(c.bundle)
	}
	return c.Client.ContainerService().Delete(c.ctx, c.ID)
}

// end ends a container, measuring nothing.
func (c *container) end() error {
	if _, _, err := c.killed(); err != nil {
		return err
	}
	return errors.Join(c.delete(), c.forget())
}
