// SPDX-License-Identifier: Apache-2.0

package parity

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	containerd "github.com/containerd/containerd/v2/client"
)

const daemonConfig = `version = 3
root = %[1]q
state = %[2]q
imports = []
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.cri.v1.images", "io.containerd.cri.v1.runtime",
	"io.containerd.nri.v1.nri", "io.containerd.tracing.processor.v1.otlp", "io.containerd.internal.v1.tracing"]
required_plugins = [%[4]s]
[grpc]
  address = %[3]q
[plugins."io.containerd.internal.v1.opt"]
  path = %[5]q
`

// daemon is the containerd under test, on directories and a socket of its own.
type daemon struct {
	binary  string
	path    string // PATH, with the stock shim
	root    string
	state   string
	address string
	log     string
	client  *containerd.Client

	command *exec.Cmd
	exited  chan struct{}
}

func newDaemon(binary, stockDir string) *daemon {
	return &daemon{
		binary:  binary,
		path:    stockDir + ":" + os.Getenv("PATH"),
		root:    filepath.Join(world.dir, "root"),
		state:   filepath.Join(world.dir, "state"),
		address: filepath.Join(world.dir, "containerd.sock"),
		log:     filepath.Join(world.dir, "containerd.log"),
	}
}

func (d *daemon) start() error {
	required := ""
	if !world.selfTest {
		required = fmt.Sprintf("%q", embedRuntime)
	}
	config := filepath.Join(world.dir, "config.toml")
	text := fmt.Sprintf(daemonConfig, d.root, d.state, d.address, required, filepath.Join(world.dir, "opt"))
	if err := os.WriteFile(config, []byte(text), 0o644); err != nil {
		return err
	}
	out, err := os.OpenFile(d.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer out.Close()
	d.command = exec.Command(d.binary, "--config", config)
	d.command.Dir = world.dir
	d.command.Stdout, d.command.Stderr = out, out
	// A runtime that passes it on would let containers speak for the daemon.
	d.command.Env = append(os.Environ(), "PATH="+d.path, "NOTIFY_SOCKET="+filepath.Join(world.dir, "notify"))
	d.command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := startCommand(d.command); err != nil {
		return err
	}
	exited := make(chan struct{})
	d.exited = exited
	go func(command *exec.Cmd) {
		_ = command.Wait()
		close(exited)
	}(d.command)
	return d.waitServing()
}

func (d *daemon) waitServing() error {
	if d.client != nil {
		d.client.Close()
		d.client = nil
	}
	serving := poll(30*time.Second, func() bool {
		select {
		case <-d.exited:
			return true
		default:
		}
		// A client that is refused waits for a second before it tries again: it gets a socket that accepts.
		conn, err := net.Dial("unix", d.address)
		if err != nil {
			return false
		}
		conn.Close()
		return d.connect()
	})
	if !serving || d.client == nil {
		return fmt.Errorf("containerd does not serve:\n%s", d.logTail(20))
	}
	return nil
}

func (d *daemon) connect() bool {
	client, err := containerd.New(d.address, containerd.WithTimeout(time.Second))
	if err != nil {
		return false
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if serving, err := client.IsServing(ctx); err != nil || !serving {
		client.Close()
		return false
	}
	d.client = client
	return true
}

// stop ends the daemon by a signal. What does not end by SIGTERM is killed, and that is an error.
func (d *daemon) stop(signal syscall.Signal) error {
	if d == nil || d.command == nil {
		return nil
	}
	if err := d.command.Process.Signal(signal); err != nil {
		return err
	}
	select {
	case <-d.exited:
		return nil
	case <-time.After(15 * time.Second):
		_ = d.command.Process.Kill()
		<-d.exited
		return fmt.Errorf("containerd did not end by %v", signal)
	}
}

func (d *daemon) pid() int { return d.command.Process.Pid }

func (d *daemon) logTail(lines int) string {
	if d == nil {
		return ""
	}
	text, err := os.ReadFile(d.log)
	if err != nil {
		return err.Error()
	}
	all := strings.Split(string(bytes.TrimSpace(text)), "\n")
	if len(all) > lines {
		all = all[len(all)-lines:]
	}
	return strings.Join(all, "\n")
}
