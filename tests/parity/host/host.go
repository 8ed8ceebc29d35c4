// SPDX-License-Identifier: Apache-2.0

// Package host runs a containerd on directories and a socket of its own, and sees what containers leave on
// the machine.
package host

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	containerd "github.com/containerd/containerd/v2/client"
)

// Names of the runtimes.
const (
	Embed = "io.containerd.runtime.v1.embed"
	Stock = "io.containerd.runc.v2"
)

const config = `version = 3
root = %[1]q
state = %[2]q
imports = []
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.cri.v1.images", "io.containerd.cri.v1.runtime",
	"io.containerd.nri.v1.nri", "io.containerd.tracing.processor.v1.otlp", "io.containerd.internal.v1.tracing"]
required_plugins = [%[4]q]
[grpc]
  address = %[3]q
[plugins."io.containerd.internal.v1.opt"]
  path = %[5]q
[plugins.%[4]q]
  root = %[6]q
`

// startWait is how long containerd may take until it serves, stopWait until it has ended.
const (
	startWait = 60 * time.Second
	stopWait  = 15 * time.Second
)

// Host is a containerd with its directories.
type Host struct {
	Client  *containerd.Client // of the daemon that runs now
	Cgroup  string             // the parent of all containers' cgroups, a path in each hierarchy
	Rootfs  string             // a root file system with /victim, for all containers
	Shared  string             // is /shared in each container
	Address string
	Stock   string // a directory with the stock shim and ctr

	disk, memory string // everything is below these; the second is a tmpfs
	binary       string
	log          string
	command      *exec.Cmd
	exited       chan struct{}
}

// New makes the directories. Which containerd it is, where the stock programs are and where the process for
// containers is say ES_CONTAINERD, ES_STOCK_BIN and ES_VICTIM.
func New(name string) (*Host, error) {
	h := &Host{binary: os.Getenv("ES_CONTAINERD"), Stock: os.Getenv("ES_STOCK_BIN")}
	victim := os.Getenv("ES_VICTIM")
	if h.binary == "" || h.Stock == "" || victim == "" {
		return nil, errors.New("ES_CONTAINERD, ES_STOCK_BIN and ES_VICTIM are not set")
	}
	if os.Getuid() != 0 {
		return nil, errors.New("must be run as root: containers are started")
	}
	var err error
	if h.disk, err = os.MkdirTemp("", name+"-"); err != nil {
		return nil, err
	}
	if h.memory, err = os.MkdirTemp("/dev/shm", name+"-"); err != nil {
		return nil, err
	}
	h.Cgroup = "/" + filepath.Base(h.disk)
	h.Rootfs = filepath.Join(h.disk, "rootfs")
	h.Shared = filepath.Join(h.memory, "shared")
	h.Address = filepath.Join(h.memory, "containerd.sock")
	h.log = filepath.Join(h.disk, "containerd.log")
	for _, dir := range []string{"proc", "sys", "dev", "tmp", "run", "etc", "shared"} {
		if err := os.MkdirAll(filepath.Join(h.Rootfs, dir), 0o755); err != nil {
			return nil, err
		}
	}
	if err := os.Mkdir(h.Shared, 0o755); err != nil {
		return nil, err
	}
	return h, copyProgram(filepath.Join(h.Rootfs, "victim"), victim)
}

// AddBusybox puts busybox into the root file system, as /busybox.
func (h *Host) AddBusybox() error {
	busybox, err := exec.LookPath("busybox")
	if err != nil {
		return err
	}
	return copyProgram(filepath.Join(h.Rootfs, "busybox"), busybox)
}

func copyProgram(to, from string) error {
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

func (h *Host) root() string  { return filepath.Join(h.disk, "root") }
func (h *Host) state() string { return filepath.Join(h.memory, "state") }

// RuncRoot is the parent of runc's state directories, one for each namespace.
func (h *Host) RuncRoot() string { return filepath.Join(h.memory, "runc") }

// Start starts containerd and waits until it serves.
func (h *Host) Start() error {
	path := filepath.Join(h.disk, "config.toml")
	text := fmt.Sprintf(config, h.root(), h.state(), h.Address, Embed, filepath.Join(h.disk, "opt"), h.RuncRoot())
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		return err
	}
	out, err := os.OpenFile(h.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer out.Close()
	h.command = exec.Command(h.binary, "--config", path)
	h.command.Stdout, h.command.Stderr = out, out
	h.command.Env = append(os.Environ(), "PATH="+h.Stock+":"+os.Getenv("PATH")+":/usr/sbin:/sbin")
	h.command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := h.command.Start(); err != nil {
		return err
	}
	exited := make(chan struct{})
	h.exited = exited
	go func(command *exec.Cmd) {
		_ = command.Wait()
		close(exited)
	}(h.command)
	return h.waitServing()
}

func (h *Host) waitServing() error {
	for deadline := time.Now().Add(startWait); time.Now().Before(deadline); time.Sleep(2 * time.Millisecond) {
		select {
		case <-h.exited:
			return fmt.Errorf("containerd has ended:\n%s", h.LogTail(20))
		default:
		}
		if conn, err := net.Dial("unix", h.Address); err != nil {
			continue
		} else {
			conn.Close()
		}
		if h.Client == nil {
			// A client of its own for each daemon: none may repeat a call of before a restart.
			client, err := containerd.New(h.Address, containerd.WithTimeout(time.Second))
			if err != nil {
				continue
			}
			h.Client = client
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		serving, err := h.Client.IsServing(ctx)
		cancel()
		if err == nil && serving {
			return nil
		}
	}
	return fmt.Errorf("containerd does not serve:\n%s", h.LogTail(20))
}

// Signal sends the daemon a signal.
func (h *Host) Signal(signal syscall.Signal) error { return h.command.Process.Signal(signal) }

// Ended waits until the daemon has ended after a signal, and closes the client.
func (h *Host) Ended() error {
	defer func() {
		if h.Client != nil {
			h.Client.Close()
			h.Client = nil
		}
		h.command = nil
	}()
	select {
	case <-h.exited:
		return nil
	case <-time.After(stopWait):
		_ = h.command.Process.Kill()
		<-h.exited
		return errors.New("containerd did not end")
	}
}

// Stop ends the daemon by a signal.
func (h *Host) Stop(signal syscall.Signal) error {
	if h.command == nil {
		return nil
	}
	return errors.Join(h.Signal(signal), h.Ended())
}

// Pid is the daemon's.
func (h *Host) Pid() int { return h.command.Process.Pid }

// LogTail is the end of the daemon's log, without the plugins that it lists.
func (h *Host) LogTail(lines int) string {
	all := slices.DeleteFunc(h.logLines(), func(line string) bool { return strings.Contains(line, "loading plugin") })
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// LastLog is the last line of the daemon's log that contains text.
func (h *Host) LastLog(text string) string {
	for _, line := range slices.Backward(h.logLines()) {
		if strings.Contains(line, text) {
			return line
		}
	}
	return ""
}

func (h *Host) logLines() []string {
	text, err := os.ReadFile(h.log)
	if err != nil {
		return []string{err.Error()}
	}
	return strings.Split(string(bytes.TrimSpace(text)), "\n")
}

// Close ends the daemon and removes everything. It names what should not have been there any more.
func (h *Host) Close() (left []string) {
	if h.command != nil {
		if err := h.Stop(syscall.SIGTERM); err != nil {
			left = append(left, err.Error())
		}
	}
	left = append(left, h.endShims()...)
	left = append(left, h.endContainers()...)
	left = append(left, h.unmount()...)
	for _, dir := range []string{h.disk, h.memory} {
		if err := os.RemoveAll(dir); err != nil {
			left = append(left, err.Error())
		}
	}
	return left
}

// Poll asks until it is true, or limit has passed.
func Poll(limit time.Duration, what func() bool) bool {
	for deadline := time.Now().Add(limit); ; time.Sleep(5 * time.Millisecond) {
		if what() {
			return true
		}
		if time.Now().After(deadline) {
			return false
		}
	}
}
