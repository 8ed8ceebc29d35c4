// SPDX-License-Identifier: Apache-2.0

package host

import (
	"bytes"
	"context"
	"errors"
	"fmt"
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
`

// startWait is how long containerd may take until it serves, stopWait until it has ended.
const (
	startWait = 60 * time.Second
	stopWait  = 15 * time.Second
)

// Daemon is a containerd on directories and a socket of its own.
type Daemon struct {
	Client      *containerd.Client // of the daemon that runs now, or ran last
	Root, State string
	Address     string
	Stock       string                // a directory with the stock shim and ctr
	Settings    string                // are added to its configuration
	Env         []string              // is added to its environment
	Run         func(*exec.Cmd) error // starts it

	dir, binary, log string
	command          *exec.Cmd
	exited           chan struct{}
}

// NewDaemon is one that keeps its state and its socket in a directory, which can be on a tmpfs, and the rest in
// another. Which containerd it is and where the stock programs are say ES_CONTAINERD and ES_STOCK_BIN.
func NewDaemon(disk, memory string) *Daemon {
	return &Daemon{
		Root:    filepath.Join(disk, "root"),
		State:   filepath.Join(memory, "state"),
		Address: filepath.Join(memory, "containerd.sock"),
		Stock:   os.Getenv("ES_STOCK_BIN"),
		Run:     (*exec.Cmd).Start,
		dir:     disk,
		binary:  os.Getenv("ES_CONTAINERD"),
		log:     filepath.Join(disk, "containerd.log"),
	}
}

// Start starts containerd and waits until it serves.
func (d *Daemon) Start() error {
	path := filepath.Join(d.dir, "config.toml")
	text := fmt.Sprintf(config, d.Root, d.State, d.Address, Embed, filepath.Join(d.dir, "opt")) + d.Settings
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		return err
	}
	out, err := os.OpenFile(d.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer out.Close()
	d.command = exec.Command(d.binary, "--config", path)
	d.command.Dir = d.dir
	d.command.Stdout, d.command.Stderr = out, out
	d.command.Env = append(os.Environ(), "PATH="+d.Stock+":"+os.Getenv("PATH")+":/usr/sbin:/sbin")
	d.command.Env = append(d.command.Env, d.Env...)
	d.command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := d.Run(d.command); err != nil {
		return err
	}
	exited := make(chan struct{})
	d.exited = exited
	go func(command *exec.Cmd) {
		_ = command.Wait()
		close(exited)
	}(d.command)
	d.closeClient()
	return d.waitServing()
}

func (d *Daemon) waitServing() error {
	for deadline := time.Now().Add(startWait); time.Now().Before(deadline); time.Sleep(2 * time.Millisecond) {
		select {
		case <-d.exited:
			return fmt.Errorf("containerd has ended:\n%s", d.LogTail(20))
		default:
		}
		// A client that is refused waits for a second before it tries again: it gets a socket that accepts.
		if conn, err := net.Dial("unix", d.Address); err != nil {
			continue
		} else {
			conn.Close()
		}
		if d.Client == nil {
			// A client of its own for each daemon: none may repeat a call of before a restart.
			client, err := containerd.New(d.Address, containerd.WithTimeout(time.Second))
			if err != nil {
				continue
			}
			d.Client = client
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		serving, err := d.Client.IsServing(ctx)
		cancel()
		if err == nil && serving {
			return nil
		}
	}
	return fmt.Errorf("containerd does not serve:\n%s", d.LogTail(20))
}

func (d *Daemon) closeClient() {
	if d.Client != nil {
		d.Client.Close()
		d.Client = nil
	}
}

// Signal sends the daemon a signal.
func (d *Daemon) Signal(signal syscall.Signal) error { return d.command.Process.Signal(signal) }

// Ended waits until the daemon has ended after a signal. What does not end is killed, and that is an error.
func (d *Daemon) Ended() error {
	defer func() { d.command = nil }()
	select {
	case <-d.exited:
		return nil
	case <-time.After(stopWait):
		_ = d.command.Process.Kill()
		<-d.exited
		return errors.New("containerd did not end")
	}
}

// Stop ends the daemon by a signal.
func (d *Daemon) Stop(signal syscall.Signal) error {
	if d.command == nil {
		return nil
	}
	return errors.Join(d.Signal(signal), d.Ended())
}

// Close ends the daemon for good, and the shims of it. It names what should not have been there any more.
func (d *Daemon) Close() (left []string) {
	if err := d.Stop(syscall.SIGTERM); err != nil {
		left = append(left, err.Error())
	}
	d.closeClient()
	return append(left, d.endShims()...)
}

// endShims waits for the stock shims of this daemon, and kills those that stay.
func (d *Daemon) endShims() (left []string) {
	var shims []int
	Poll(stopWait, func() bool {
		shims = ProcessesNaming(d.Address)
		return len(shims) == 0
	})
	for _, pid := range shims {
		left = append(left, "process "+CommandLine(pid))
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	return left
}

// Pid is the daemon's.
func (d *Daemon) Pid() int { return d.command.Process.Pid }

// LogTail is the end of the daemon's log, without the plugins that it lists.
func (d *Daemon) LogTail(lines int) string {
	all := slices.DeleteFunc(d.logLines(), func(line string) bool { return strings.Contains(line, "loading plugin") })
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// LastLog is the last line of the daemon's log that contains text.
func (d *Daemon) LastLog(text string) string {
	for _, line := range slices.Backward(d.logLines()) {
		if strings.Contains(line, text) {
			return line
		}
	}
	return ""
}

func (d *Daemon) logLines() []string {
	text, err := os.ReadFile(d.log)
	if err != nil {
		return []string{err.Error()}
	}
	return strings.Split(string(bytes.TrimSpace(text)), "\n")
}
