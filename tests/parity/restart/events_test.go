// SPDX-License-Identifier: Apache-2.0

package restart

import (
	"fmt"
	"sync"
	"time"

	eventsapi "github.com/containerd/containerd/api/events"
	"github.com/embedshim/embedshim/tests/parity/host"
)

// clockTick is how much earlier than the event the time of a file can be: that clock goes in ticks.
const clockTick = 10 * time.Millisecond

// stream is what came from one life of the daemon.
type stream struct {
	opened, ended time.Time
	last          time.Time // when the last event in it was published
}

// streams are the event streams of all lives of the daemon.
type streams struct {
	mu        sync.Mutex
	processes map[[2]string]*process
	all       []stream
	listener  *host.Listener
	strangers []string // exits of what the test does not know
}

// open starts the next stream.
func (s *streams) open(h *host.Host) error {
	s.mu.Lock()
	n := len(s.all)
	s.all = append(s.all, stream{})
	s.mu.Unlock()
	var err error
	s.listener, err = h.Listen(namespace, func(published time.Time, event any) { s.receive(n, published, event) })
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all[n].opened = time.Now()
	return err
}

// end waits for the end of the stream, once the daemon has been killed.
func (s *streams) end() {
	s.listener.Ended()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all[len(s.all)-1].ended = time.Now()
}

func (s *streams) receive(stream int, published time.Time, event any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if last := &s.all[stream].last; published.After(*last) {
		*last = published
	}
	e, ok := event.(*eventsapi.TaskExit)
	if !ok {
		return
	}
	id := e.ID
	if id == e.ContainerID {
		id = ""
	}
	p := s.processes[[2]string{e.ContainerID, id}]
	if p == nil {
		s.strangers = append(s.strangers, e.ContainerID+" "+e.ID)
		return
	}
	p.heard(exit{stream, published, result{e.ExitStatus, e.ExitedAt.AsTime()}})
}

func (s *streams) add(p *process) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.processes[[2]string{p.container, p.exec}] = p
}

// publishedBeforeKill notes that exits had been published when the last daemon was killed.
func (s *streams) publishedBeforeKill(all []*process) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range all {
		p.published(s.all[len(s.all)-2].ended)
	}
}

// snapshot is called while no daemon runs: what has the last one noted as published?
func (s *streams) snapshot(h *host.Host) {
	told := h.Told(namespace)
	s.mu.Lock()
	defer s.mu.Unlock()
	for key, p := range s.processes {
		if at, ok := told[key]; ok {
			p.published(at)
			continue
		}
		p.mu.Lock()
		// It matters if the exit was published at all, which is what the events say.
		p.untold = p.untold || len(p.exits) > 0 && p.deleted == no
		p.mu.Unlock()
	}
}

// count tells whether a process had exactly one TaskExit, as far as that can be.
//
// No order of "publish" and "note that it was published" survives SIGKILL between the two. The daemon publishes
// first. So what decides is the note, which the test reads while no daemon runs:
//   - There is a note, and the event did not come: it was on its way through the socket. That is so only if
//     nothing came in the stream that was published after the note was made.
//   - There is no note, and the event came: it has to be published again. Both must say the same.
//
// An answer to Wait or Delete is as good as a note.
func (s *streams) count(p *process) error {
	s.mu.Lock()
	all := append([]stream(nil), s.all...)
	s.mu.Unlock()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, e := range p.exits {
		if p.resolved != nil && !p.resolved.same(e.result) {
			return fmt.Errorf("TaskExit of %v says %v, and Wait %v", p, e.result, *p.resolved)
		}
	}
	if p.added != yes || p.exec != "" && p.started != yes {
		if len(p.exits) > 0 {
			return fmt.Errorf("TaskExits of %v, which never ran: %v", p, p.exits)
		}
		return nil
	}
	switch {
	case len(p.exits) == 1:
		return nil
	case len(p.exits) == 2 && p.exits[0].same(p.exits[1].result) && p.untold && p.exits[0].stream < p.exits[1].stream:
		counters.repeated++
		return nil
	case len(p.exits) == 0 && !p.told.IsZero():
		for _, s := range all {
			late := p.told.Add(clockTick)
			if s.opened.Before(late) && !p.told.After(s.ended) && s.last.Before(late) {
				counters.inTransit++
				return nil
			}
		}
	}
	return fmt.Errorf("%d TaskExits of %v: %v (told by %s; not noted at a kill: %v)",
		len(p.exits), p, p.exits, clock(p.told), p.untold)
}
