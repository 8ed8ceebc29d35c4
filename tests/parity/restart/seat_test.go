// SPDX-License-Identifier: Apache-2.0

package restart

import (
	"fmt"
	"io"

	"github.com/containerd/containerd/v2/pkg/cio"
	"github.com/embedshim/embedshim/tests/parity/host"
)

// seat is where somebody sits at a container: what is typed goes in, and what comes out is kept.
type seat struct {
	name     string
	terminal bool
	typed    *io.PipeWriter
	held     cio.IO
	shown    host.Text
}

// options are those for streams of somebody who has just sat down.
func (s *seat) options() []cio.Opt {
	reader, writer := io.Pipe()
	s.typed = writer
	if s.terminal {
		return []cio.Opt{cio.WithStreams(reader, &s.shown, nil), cio.WithTerminal}
	}
	return []cio.Opt{cio.WithStreams(reader, &s.shown, &s.shown)}
}

// create is for a new task, with FIFOs in dir.
func (s *seat) create(dir string) cio.Creator {
	creator := cio.NewCreator(append(s.options(), cio.WithFIFODir(dir))...)
	return func(id string) (cio.IO, error) {
		held, err := creator(id)
		s.held = held
		return held, err
	}
}

// attach is for a task that is there.
func (s *seat) attach() cio.Attach {
	attach := cio.NewAttach(s.options()...)
	return func(set *cio.FIFOSet) (cio.IO, error) {
		held, err := attach(set)
		s.held = held
		return held, err
	}
}

// leave closes what is held, as the kernel does for a client that ends. The FIFOs stay.
func (s *seat) leave() {
	s.held.Cancel()
	s.typed.CloseWithError(io.ErrClosedPipe)
}

// asks types a line, and waits for the answer.
func (s *seat) asks(line, answer string) error {
	said := make(chan error, 1)
	go func() {
		_, err := io.WriteString(s.typed, line+"\n")
		said <- err
	}()
	if !s.shown.Await(settleLimit, answer) {
		return fmt.Errorf("%s does not answer %q to %q, but says %q", s.name, answer, line, s.shown.String())
	}
	return <-said
}
