// SPDX-License-Identifier: Apache-2.0

// Package host runs a containerd on directories and a socket of its own, and sees what containers leave on
// the machine.
package host

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"
)

// Names of the runtimes.
const (
	Embed = "io.containerd.runtime.v1.embed"
	Stock = "io.containerd.runc.v2"
)

// Host is a containerd with its directories.
type Host struct {
	*Daemon
	Cgroup string // the parent of all containers' cgroups, a path in each hierarchy
	Rootfs string // a root file system with /victim, for all containers
	Shared string // is /shared in each container

	disk, memory string // everything is below these; the second is a tmpfs
}

// New makes the directories. Which containerd it is, where the stock programs are and where the process for
// containers is say ES_CONTAINERD, ES_STOCK_BIN and ES_VICTIM.
func New(name string) (*Host, error) {
	victim := os.Getenv("ES_VICTIM")
	if os.Getenv("ES_CONTAINERD") == "" || os.Getenv("ES_STOCK_BIN") == "" || victim == "" {
		return nil, errors.New("ES_CONTAINERD, ES_STOCK_BIN and ES_VICTIM are not set")
	}
	if os.Getuid() != 0 {
		return nil, errors.New("must be run as root: containers are started")
	}
	h := &Host{}
	var err error
	if h.disk, err = os.MkdirTemp("", name+"-"); err != nil {
		return nil, err
	}
	if h.memory, err = os.MkdirTemp("/dev/shm", name+"-"); err != nil {
		return nil, err
	}
	h.Daemon = NewDaemon(h.disk, h.memory)
	h.Settings = fmt.Sprintf("[plugins.%q]\n  root = %q\n", Embed, h.RuncRoot())
	h.Cgroup = "/" + filepath.Base(h.disk)
	h.Rootfs = filepath.Join(h.disk, "rootfs")
	h.Shared = filepath.Join(h.memory, "shared")
	for _, dir := range []string{"proc", "sys", "dev", "tmp", "run", "etc", "shared"} {
		if err := os.MkdirAll(filepath.Join(h.Rootfs, dir), 0o755); err != nil {
			return nil, err
		}
	}
	if err := os.Mkdir(h.Shared, 0o755); err != nil {
		return nil, err
	}
	return h, CopyProgram(filepath.Join(h.Rootfs, "victim"), victim)
}

// AddBusybox puts busybox into the root file system, as /busybox.
func (h *Host) AddBusybox() error {
	busybox, err := exec.LookPath("busybox")
	if err != nil {
		return err
	}
	return CopyProgram(filepath.Join(h.Rootfs, "busybox"), busybox)
}

// CopyProgram copies a file that can be run.
func CopyProgram(to, from string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY, 0o755)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

// RuncRoot is the parent of runc's state directories, one for each namespace.
func (h *Host) RuncRoot() string { return filepath.Join(h.memory, "runc") }

// Close ends the daemon and removes everything. It names what should not have been there any more.
func (h *Host) Close() (left []string) {
	left = append(h.Daemon.Close(), EndContainers(h.Cgroup)...)
	left = append(left, Unmount(h.disk)...)
	left = append(left, Unmount(h.memory)...)
	for _, dir := range []string{h.disk, h.memory} {
		if err := os.RemoveAll(dir); err != nil {
			left = append(left, err.Error())
		}
	}
	return left
}

// patience is how many times slower this machine may be than one of today.
var patience = max(1, number(os.Getenv("ES_TEST_PATIENCE")))

func number(text string) int {
	n, _ := strconv.Atoi(text)
	return n
}

// Patient is a limit, or a pause that others need, on this machine.
func Patient(limit time.Duration) time.Duration { return limit * time.Duration(patience) }

// Slow tells whether this machine is slower than one of today.
func Slow() bool { return patience > 1 }

// Poll asks until it is true, or limit has passed, which is for a machine of today.
func Poll(limit time.Duration, what func() bool) bool {
	for deadline := time.Now().Add(Patient(limit)); ; time.Sleep(5 * time.Millisecond) {
		if what() {
			return true
		}
		if time.Now().After(deadline) {
			return false
		}
	}
}
