// SPDX-License-Identifier: Apache-2.0

package parity

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/embedshim/embedshim/tests/parity/host"
)

// callTimeout is far above what any call takes. What it ends is recorded as such.
const callTimeout = 15 * time.Second

// scenario is something that is done with both runtimes.
type scenario struct {
	name string
	run  func(*side)
}

// side is a scenario with one of the two runtimes, and the record of what was seen.
type side struct {
	*testing.T
	sideKind
	scenario string
	dir      string // /host in the containers
	ctx      context.Context
	meeting  *meeting
	normal   *normaliser

	mu         sync.Mutex
	lines      []string
	containers []*container
}

func newSide(t *testing.T, kind sideKind, scenario string, m *meeting) *side {
	dir := filepath.Join(world.dir, "scenarios", kind.name, scenario)
	s := &side{
		T:        t,
		sideKind: kind,
		scenario: scenario,
		dir:      dir,
		ctx:      namespaces.WithNamespace(context.Background(), kind.namespace),
		meeting:  m,
		normal:   newNormaliser(kind, dir),
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	// Users of other user namespaces write here as well.
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	return s
}

// say adds a line to the record.
func (s *side) say(format string, arguments ...any) {
	line := s.normal.text(fmt.Sprintf(format, arguments...))
	s.mu.Lock()
	defer s.mu.Unlock()
	for l := range strings.SplitSeq(strings.TrimRight(line, "\n"), "\n") {
		s.lines = append(s.lines, l)
	}
}

// outcome records how a call has ended, and whether it has worked.
func (s *side) outcome(call string, err error) bool {
	if err != nil {
		s.say("%s: %s", call, errorText(err))
		return false
	}
	s.say("%s: ok", call)
	return true
}

// client is another one after a restart.
func (s *side) client() *containerd.Client { return world.daemon.Client }

func (s *side) path(name string) string { return filepath.Join(s.dir, name) }

// call is a context for one call.
func (s *side) call() (context.Context, context.CancelFunc) {
	return context.WithTimeout(s.ctx, host.Patient(callTimeout))
}

// waitFile waits until a process has made a file in /host, and returns its content.
func (s *side) waitFile(name string) string {
	s.Helper()
	var text []byte
	s.until("the file "+name, func() bool {
		var err error
		text, err = os.ReadFile(s.path(name))
		return err == nil && len(text) > 0
	})
	return string(text)
}

// until waits for what must become true.
func (s *side) until(what string, condition func() bool) {
	s.Helper()
	if !host.Poll(callTimeout, condition) {
		s.Fatalf("%s: waited in vain for %s", s.name, what)
	}
}

// restart ends the daemon when both sides are here, lets them act while there is none, and starts it again.
func (s *side) restart(signal syscall.Signal, meanwhile func()) {
	s.Helper()
	for _, c := range s.containers {
		// The stock shim loses what it has not told yet.
		s.until("the events of "+c.id, func() bool {
			return slices.ContainsFunc(s.eventsOf(c.id), func(line string) bool { return strings.HasPrefix(line, "create ") })
		})
	}
	// Nor is it known here which of them were started: the event of that comes a little later.
	time.Sleep(host.Patient(300 * time.Millisecond))
	if err := s.meeting.meet(func() error { return world.daemon.Stop(signal) }); err != nil {
		s.Fatal(err)
	}
	if meanwhile != nil {
		meanwhile()
	}
	err := s.meeting.meet(func() error {
		if err := world.daemon.Start(); err != nil {
			return err
		}
		return subscribeAll()
	})
	if err != nil {
		s.Fatal(err)
	}
	s.say("-- containerd was started again after %v", signal)
}

// meeting is where the sides of a scenario wait for each other.
type meeting struct {
	mu       sync.Mutex
	expected int
	arrived  int
	act      func() error
	round    *round
}

type round struct {
	over chan struct{}
	err  error
}

func newMeeting(n int) *meeting {
	return &meeting{expected: n, round: &round{over: make(chan struct{})}}
}

// meet waits for the others. The last one acts for all.
func (m *meeting) meet(act func() error) error {
	m.mu.Lock()
	m.arrived++
	m.act = act
	r := m.round
	m.openIfComplete()
	m.mu.Unlock()
	<-r.over
	return r.err
}

// leave is for a side that comes no more.
func (m *meeting) leave() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.expected--
	m.openIfComplete()
}

func (m *meeting) openIfComplete() {
	if m.arrived == 0 || m.arrived < m.expected {
		return
	}
	m.round.err = m.act()
	close(m.round.over)
	m.arrived, m.round = 0, &round{over: make(chan struct{})}
}
