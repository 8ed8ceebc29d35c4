// SPDX-License-Identifier: Apache-2.0

package parity

import (
	"context"
	"io"
	"os"
	"strings"
	"syscall"

	"github.com/containerd/fifo"
	"github.com/embedshim/embedshim/tests/parity/host"
)

// output reads a FIFO until nobody writes any more.
type output struct {
	s    *side
	path string
	done chan struct{}
	stop func()
	got  host.Text
}

// output makes a FIFO and reads it.
func (s *side) output(name string) *output {
	s.Helper()
	o := &output{s: s, path: s.path(name), done: make(chan struct{})}
	ctx, cancel := context.WithCancel(context.Background())
	pipe, err := fifo.OpenFifo(ctx, o.path, syscall.O_RDONLY|syscall.O_CREAT|syscall.O_NONBLOCK, 0o700)
	if err != nil {
		s.Fatal(err)
	}
	o.stop = func() {
		cancel()
		pipe.Close()
	}
	s.Cleanup(o.stop)
	go func() {
		defer close(o.done)
		_, _ = io.Copy(&o.got, pipe)
		pipe.Close()
	}()
	return o
}

// await waits until the text has come.
func (o *output) await(text string) {
	o.s.Helper()
	o.s.until("the output "+text, func() bool { return strings.Contains(o.got.String(), text) })
}

// ended waits for the end of the stream and records what came.
func (o *output) ended() {
	o.s.Helper()
	select {
	case <-o.done:
		o.s.say("output %s: %q", o.path, o.got.String())
	case <-o.s.timeout():
		o.s.say("output %s: no end, so far %q", o.path, o.got.String())
	}
}

// timeout ends like a call.
func (s *side) timeout() <-chan struct{} {
	ctx, cancel := s.call()
	s.Cleanup(cancel)
	return ctx.Done()
}

// input makes a FIFO to write to. It is open when somebody reads it.
func (s *side) input(name string) (string, io.WriteCloser) {
	s.Helper()
	path := s.path(name)
	ctx, cancel := context.WithCancel(context.Background())
	pipe, err := fifo.OpenFifo(ctx, path, syscall.O_WRONLY|syscall.O_CREAT|syscall.O_NONBLOCK, 0o700)
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() {
		cancel()
		pipe.Close()
	})
	return path, pipe
}

// both makes the streams of a process without a terminal.
func (s *side) both(name string) (streams, *output, *output) {
	out, err := s.output(name+".out"), s.output(name+".err")
	return streams{stdout: out.path, stderr: err.path}, out, err
}

// write writes to a FIFO, whose reader must come.
func (s *side) write(to io.Writer, text string) {
	s.Helper()
	done := make(chan error, 1)
	go func() {
		_, err := io.WriteString(to, text)
		done <- err
	}()
	select {
	case err := <-done:
		if err != nil {
			s.Fatal(err)
		}
	case <-s.timeout():
		s.Fatalf("nobody reads %q", text)
	}
}

// allOf is the output up to its end.
func (o *output) allOf() string {
	o.s.Helper()
	select {
	case <-o.done:
	case <-o.s.timeout():
		o.s.Fatalf("output %s does not end", o.path)
	}
	return o.got.String()
}

// file records what is in a file.
func (s *side) file(name string) {
	text, err := os.ReadFile(s.path(name))
	if err != nil {
		s.say("file %s: %v", name, err)
		return
	}
	s.say("file %s: %q", name, text)
}
