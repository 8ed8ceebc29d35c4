// SPDX-License-Identifier: Apache-2.0

package embedshim

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/containerd/errdefs"
)

// client is the other side of a container's FIFOs.
type client struct {
	streams Streams
	stdin   *os.File
	output  chan string
}

func (e *env) newClient(name string) *client {
	e.t.Helper()
	c := &client{output: make(chan string, 1)}
	c.streams.Stdin = filepath.Join(e.dir, name+"-in")
	c.streams.Stdout = filepath.Join(e.dir, name+"-out")
	for _, path := range []string{c.streams.Stdin, c.streams.Stdout} {
		if err := syscall.Mkfifo(path, 0o600); err != nil {
			e.t.Fatal(err)
		}
	}
	return c
}

// attach connects to the FIFOs; output is what came until the end.
func (c *client) attach(t *testing.T) {
	t.Helper()
	stdin, err := os.OpenFile(c.streams.Stdin, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := os.Open(c.streams.Stdout)
	if err != nil {
		t.Fatal(err)
	}
	c.stdin = stdin
	go func() {
		defer stdout.Close()
		var all bytes.Buffer
		_, _ = io.Copy(&all, stdout)
		c.output <- all.String()
	}()
}

func TestTerminal(t *testing.T) {
	e := newEnv(t)
	m := e.open(nil)
	defer m.Close()
	c := e.newClient("box")
	task, err := m.Create("test", "box", TaskOptions{
		Spec:   e.specOf("box", "read x; stty size; echo got $x; exit 3", true),
		Stdin:  c.streams.Stdin,
		Stdout: c.streams.Stdout,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer task.Close()
	if !task.Terminal() {
		t.Error("it has no terminal")
	}
	// Nobody reads its FIFO before it is started.
	started := make(chan error, 1)
	go func() { started <- task.Start() }()
	c.attach(t)
	if err := <-started; err != nil {
		t.Fatal(err)
	}
	if err := task.Resize(100, 40); err != nil {
		t.Error(err)
	}
	if err := task.Resize(70000, 40); !errors.Is(err, errdefs.ErrInvalidArgument) {
		t.Errorf("a terminal of 70000 columns: %v", err)
	}
	_, _ = c.stdin.WriteString("word\n")
	if exit, err := task.Wait(context.Background()); err != nil || exit.Code != 3 {
		t.Errorf("%+v, %v", exit, err)
	}
	if out := <-c.output; !strings.Contains(out, "40 100\r\ngot word\r\n") {
		t.Errorf("output %q", out)
	}
	c.stdin.Close()
	if err := task.Resize(100, 40); !errors.Is(err, errdefs.ErrNotFound) {
		t.Errorf("resize of a stopped task: %v", err)
	}
	if _, err := task.Delete(); err != nil {
		t.Error(err)
	}
}

func TestStdin(t *testing.T) {
	e := newEnv(t)
	m := e.open(nil)
	defer m.Close()
	task := e.run(m, "box", "sleep 100")
	defer task.Close()
	if task.Terminal() {
		t.Error("it has a terminal")
	}
	if err := task.Resize(1, 1); !errors.Is(err, syscall.ENOTTY) {
		t.Errorf("resize without a terminal: %v", err)
	}
	if err := task.CloseStdin(); err != nil {
		t.Errorf("close of no stdin: %v", err)
	}
	for _, terminal := range []bool{false, true} {
		c := e.newClient(map[bool]string{false: "pipe", true: "terminal"}[terminal])
		process, err := json.Marshal(map[string]interface{}{
			"args": []string{"/bin/busybox", "sh", "-c", "read x; echo got $x; exit 4"},
			"cwd":  "/", "terminal": terminal, "user": map[string]int{"uid": 0, "gid": 0},
		})
		if err != nil {
			t.Fatal(err)
		}
		exec, err := task.Exec("exec", ExecOptions{Process: process, Streams: c.streams, IoUid: 1000, IoGid: 1000})
		if err != nil {
			t.Fatal(err)
		}
		if exec.Terminal() != terminal {
			t.Errorf("terminal: %v", exec.Terminal())
		}
		if err := exec.CloseStdin(); !errors.Is(err, syscall.EBUSY) {
			t.Errorf("close before the start: %v", err)
		}
		// Before an exec is started nobody else has its FIFOs open.
		started := make(chan error, 1)
		go func() { started <- exec.Start() }()
		c.attach(t)
		if err := <-started; err != nil {
			t.Fatal(err)
		}
		if err := exec.Resize(90, 30); (err == nil) != terminal {
			t.Errorf("resize: %v", err)
		}
		_, _ = c.stdin.WriteString("word\n")
		c.stdin.Close()
		if err := exec.CloseStdin(); err != nil {
			t.Error(err)
		}
		if exit, err := exec.Wait(context.Background()); err != nil || exit.Code != 4 {
			t.Errorf("%+v, %v", exit, err)
		}
		if out := <-c.output; !strings.Contains(out, "got word") {
			t.Errorf("output %q", out)
		}
		if _, err := exec.Delete(); err != nil {
			t.Error(err)
		}
		exec.Close()
	}
	_ = task.Kill(syscall.SIGKILL)
	if _, err := task.Wait(context.Background()); err != nil {
		t.Error(err)
	}
	if _, err := task.Delete(); err != nil {
		t.Error(err)
	}
}
