// SPDX-License-Identifier: Apache-2.0

package restart

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// belief is what the test knows of something that the daemon was asked for.
type belief int

const (
	no      belief = iota
	perhaps        // the daemon was killed before it could answer
	yes
)

func (b belief) String() string { return [...]string{"no", "perhaps", "yes"}[b] }

// way is a way to end by oneself.
type way struct {
	kind   string // of victim
	number int
	status uint32
	atOnce bool // not when a file appears
}

// ways that work for the first process of a PID namespace, too: it takes no signal from inside.
func chooseWay(r *rand.Rand, firstOfNamespace bool) way {
	n := r.IntN(200)
	w := way{kind: "exit", number: n, status: uint32(n), atOnce: r.IntN(6) == 0}
	switch r.IntN(8) {
	case 0, 1:
		w.kind = "leader-first"
	case 2:
		w.kind = "group-thread"
	case 3:
		w.kind = "exec-dead-leader"
	case 4:
		w.kind = "leave-children"
	case 5, 6:
		if !firstOfNamespace {
			signals := []unix.Signal{unix.SIGTERM, unix.SIGSEGV, unix.SIGKILL, unix.SIGUSR1, unix.SIGABRT}
			signal := signals[r.IntN(len(signals))]
			w.kind, w.number, w.status = "signal", int(signal), 128+uint32(signal)
		}
	}
	return w
}

// process is an init or an exec, and what can be true of it. Its fields belong to the goroutine that drives
// its container; those under mu are shared with the witness of its end and with the event stream.
type process struct {
	container, exec string // exec is empty for init
	way             way

	added, started, deleted belief
	pid                     uint32
	halfDeleted             bool // a delete of what was never started was cut short: it may live
	doubt                   bool // whether the daemon has done what was to end it, before it was killed
	overdue                 bool // it was known to have ended before a daemon was started

	mu       sync.Mutex
	causes   map[uint32]time.Time // what may have ended it: the status, since when
	ended    time.Time            // by its pidfd; zero: not seen
	exits    []exit               // TaskExit events
	told     time.Time            // it was published by then for certain; zero: not known
	untold   bool                 // a daemon was killed before it had noted the publication
	resolved *result              // what Wait has said
}

// exit is a TaskExit event.
type exit struct {
	stream    int
	published time.Time
	result
}

// result is how a process has ended, as the daemon says.
type result struct {
	status uint32
	at     time.Time
}

func (r result) String() string { return fmt.Sprintf("%d at %s", r.status, clock(r.at)) }

// same tells whether two are of one exit. The kernel's time is on a clock of its own: what was not noted before a
// kill is put on the wall clock again, which is not exact.
func (r result) same(other result) bool {
	moved := r.at.Sub(other.at).Abs()
	if r.status != other.status || moved > time.Millisecond {
		return false
	}
	if moved > 0 {
		counters.moved.Add(1)
	}
	return true
}

func clock(t time.Time) string { return t.Format("05.000000") }

func (p *process) String() string {
	name := p.container
	if p.exec != "" {
		name += "/" + p.exec
	}
	return fmt.Sprintf("%s (%s %d, pid %d, added %v, started %v, deleted %v)", name, p.way.kind, p.way.number,
		p.pid, p.added, p.started, p.deleted)
}

// trigger is the file that lets it end, in the shared directory.
func (p *process) trigger() string { return p.container + "." + p.exec }

func (p *process) args() []string {
	args := []string{"/victim"}
	if !p.way.atOnce {
		args = append(args, "-w", "/shared/"+p.trigger())
	}
	return append(args, p.way.kind, fmt.Sprint(p.way.number))
}

// may notes that from now on the process may end with a status.
func (p *process) may(status uint32) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, known := p.causes[status]; !known {
		p.causes[status] = time.Now()
	}
}

func (p *process) mayHaveEnded() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.causes) > 0
}

// watch takes the time at which the kernel says that the process has ended.
func (p *process) watch(pid uint32) {
	p.pid = pid
	fd, err := unix.PidfdOpen(int(pid), 0)
	if err != nil { // gone already
		p.sawEnd()
		return
	}
	go func() {
		defer unix.Close(fd)
		for {
			_, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, -1)
			if err != unix.EINTR {
				break
			}
		}
		p.sawEnd()
	}()
}

func (p *process) sawEnd() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ended = time.Now()
}

func (p *process) hasEnded() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return !p.ended.IsZero()
}

// check says what is wrong with a result. The first of a process is compared with what the test knows of its
// end, all others with the first.
func (p *process) check(r result) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.resolved != nil {
		if !p.resolved.same(r) {
			return fmt.Errorf("%v ended with %v, and before it was %v", p, r, *p.resolved)
		}
		return nil
	}
	since, allowed := p.causes[r.status]
	if !allowed {
		return fmt.Errorf("%v ended with %v; possible are %v", p, r, p.causes)
	}
	if r.at.Before(since) {
		return fmt.Errorf("%v ended with %v, before %s, when it was made to", p, r, clock(since))
	}
	until := p.ended
	if until.IsZero() {
		until = time.Now()
	}
	if r.at.After(until) {
		return fmt.Errorf("%v ended with %v, after %s, when it was seen to have ended", p, r, clock(until))
	}
	p.resolved = &r
	return nil
}

// heard is called for each TaskExit.
func (p *process) heard(e exit) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.exits = append(p.exits, e)
}

// published notes that the daemon had published the exit by a time.
func (p *process) published(by time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.told.IsZero() || by.Before(p.told) {
		p.told = by
	}
}
