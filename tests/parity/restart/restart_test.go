// SPDX-License-Identifier: Apache-2.0

// Package restart kills containerd with SIGKILL at random moments of a random load, and looks at what the next
// one makes of it.
//
// Start it with tests/parity/restart/run.
package restart

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/embedshim/embedshim/tests/parity/host"
)

const (
	namespace = "restart"
	drivers   = 3
	// eventLimit is how long an event may be on its way.
	eventLimit = 20 * time.Second
)

// running is the host of the test that runs now.
var running atomic.Pointer[host.Host]

// TestMain removes everything also when the test is interrupted.
func TestMain(m *testing.M) {
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	go func() {
		<-stop
		if h := running.Load(); h != nil {
			h.Close()
		}
		os.Exit(1)
	}()
	os.Exit(m.Run())
}

// counters are printed at the end.
var counters struct {
	steps, moved                        atomic.Int64
	endedMeanwhile, repeated, inTransit int
	logged                              int // lines
}

// number is a number from the environment.
func number(t *testing.T, name string, otherwise int) int {
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatalf("%s=%s is no number", name, text)
	}
	return n
}

func long() bool { return os.Getenv("ES_TEST_LONG") == "1" }

func newHost(t *testing.T) *host.Host {
	h, err := host.New("restart")
	if err != nil {
		t.Fatal(err)
	}
	running.Store(h)
	t.Cleanup(func() {
		running.Store(nil)
		if t.Failed() { // in the middle, with containers running
			t.Log(h.LogTail(40))
			h.Close()
			return
		}
		for _, left := range h.Close() {
			t.Error("left behind:", left)
		}
	})
	if err := h.Start(); err != nil {
		t.Fatal(err)
	}
	return h
}

// plan tells how many rounds a test has, few or, in a long run, many, and what they begin with. It is printed, so
// that a run can be repeated.
func plan(t *testing.T, name string, few, many int) (rounds int, seed uint64) {
	if long() {
		few = many
	}
	rounds = number(t, name, few)
	seed = uint64(number(t, "ES_RESTART_SEED", int(time.Now().UnixNano()&0xffffff)))
	t.Logf("ES_RESTART_SEED=%d %s=%d", seed, name, rounds)
	return rounds, seed
}

func TestRestart(t *testing.T) {
	rounds, seed := plan(t, "ES_RESTART_ROUNDS", 5, 100)
	random := rand.New(rand.NewPCG(seed, 0))
	load := number(t, "ES_RESTART_LOAD", 1500)
	w := &world{Host: newHost(t), load: load, streams: streams{processes: map[[2]string]*process{}}}
	var all []*driver
	for i := range drivers {
		all = append(all, &driver{
			world:  w,
			name:   fmt.Sprintf("d%d", i),
			random: rand.New(rand.NewPCG(seed, uint64(i)+1)),
		})
	}
	if err := w.live(); err != nil {
		t.Fatal(err)
	}
	for round := 1; round <= rounds; round++ {
		if err := w.round(random, all, round == rounds); err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
	}
	w.countAll(t)
	if n, err := w.MapEntries("exits"); err != nil || n != 0 {
		t.Errorf("%d entries in the map of exits: %v", n, err)
	}
	w.cut.Store(true)
	if err := w.Stop(syscall.SIGTERM); err != nil {
		t.Error(err)
	}
	if w.Pinned() {
		t.Error("there are pins, and no task")
	}
	t.Logf("%d steps, %d processes ended while no daemon ran, %d events repeated, %d in transit at a kill, "+
		"%d times converted anew", counters.steps.Load(), counters.endedMeanwhile, counters.repeated,
		counters.inTransit, counters.moved.Load())
}

// live begins a life of the daemon, which serves already.
func (w *world) live() error {
	w.ctx, w.cancel = context.WithCancel(inNamespace())
	w.cut.Store(false)
	return w.streams.open(w.Host)
}

func (w *world) round(random *rand.Rand, all []*driver, last bool) error {
	var load sync.WaitGroup

	for _, d := range all {
		load.Go(d.run)
	}
	time.Sleep(time.Duration(random.IntN(w.load)) * time.Millisecond)
	w.cut.Store(true)
	if err := w.Signal(syscall.SIGKILL); err != nil {
		return err
	}
	w.streams.end()
	w.cancel()
	load.Wait()
	for _, d := range all {
		if d.failed != nil {
			return fmt.Errorf("%s: %w", d.name, d.failed)
		}
	}
	if err := w.Ended(); err != nil {
		return err
	}
	w.down(random, all)
	if err := w.Start(); err != nil {
		return err
	}
	if err := w.live(); err != nil {
		return err
	}
	if err := w.verifyAll(all); err != nil {
		return err
	}
	return w.finishSome(random, all, last)
}

// down is what happens while no daemon runs.
func (w *world) down(random *rand.Rand, all []*driver) {
	w.streams.snapshot(w.Host)
	for _, d := range all {
		for _, c := range d.containers {
			// What is frozen cannot end.
			if c.init.pid == 0 || c.paused != no || c.init.deleted != no {
				continue
			}
			for _, p := range append([]*process{c.init}, c.execs...) {
				if p.pid == 0 || p.deleted != no {
					continue
				}
				switch random.IntN(6) {
				case 0:
					c.killDirectly(p)
				case 1:
					if p.started == yes {
						_ = c.end(p)
					}
				}
			}
		}
	}
	time.Sleep(time.Duration(random.IntN(200)) * time.Millisecond)
	for _, d := range all {
		for _, c := range d.containers {
			for _, p := range append([]*process{c.init}, c.execs...) {
				p.overdue = p.hasEnded()
			}
		}
	}
}

func (w *world) verifyAll(all []*driver) error {
	for _, d := range all {
		for _, c := range d.containers {
			if err := c.verifyEnded(); err != nil {
				return err
			}
		}
	}
	if err := w.quiet(); err != nil {
		return err
	}
	for _, d := range all {
		for _, c := range d.containers {
			if err := c.verify(); err != nil {
				return err
			}
		}
	}
	return w.listed(known(all))
}

// known are the containers that have a task.
func known(all []*driver) map[string]*container {
	tasks := map[string]*container{}
	for _, d := range all {
		for _, c := range d.containers {
			if c.init.added == yes && c.init.deleted == no {
				tasks[c.spec.ID] = c
			}
		}
	}
	return tasks
}

// finishSome ends some of the containers, or all; what has no task goes in any case. Then the machine is
// looked at.
func (w *world) finishSome(random *rand.Rand, all []*driver, last bool) error {
	for _, d := range all {
		var kept []*container
		for _, c := range d.containers {
			hasTask := c.init.added == yes && c.init.deleted == no
			if hasTask && !last && random.IntN(2) == 0 {
				kept = append(kept, c)
				continue
			}
			if err := c.finish(); err != nil {
				return err
			}
			d.gone = append(d.gone, c)
		}
		d.containers = kept
	}
	if err := w.countEvents(all); err != nil {
		return err
	}
	return w.nothingLeft(known(all))
}

// countEvents checks the exits of everything that is gone.
func (w *world) countEvents(all []*driver) error {
	for _, d := range all {
		for _, c := range d.gone {
			for _, p := range append(append([]*process{c.init}, c.execs...), c.goneExecs...) {
				var err error
				if !host.Poll(eventLimit, func() bool {
					err = w.streams.count(p)
					return err == nil
				}) {
					return err
				}
			}
		}
		d.gone = nil
	}
	w.streams.mu.Lock()
	defer w.streams.mu.Unlock()
	if len(w.streams.strangers) > 0 {
		return fmt.Errorf("exits of others: %q", w.streams.strangers)
	}
	return nil
}

// countAll looks again at all exits: none may have come once more.
func (w *world) countAll(t *testing.T) {
	w.streams.mu.Lock()
	var all []*process
	for _, p := range w.streams.processes {
		all = append(all, p)
	}
	w.streams.mu.Unlock()
	before := [2]int{counters.repeated, counters.inTransit}
	for _, p := range all {
		if err := w.streams.count(p); err != nil {
			t.Error(err)
		}
	}
	counters.repeated, counters.inTransit = before[0], before[1]
	t.Logf("%d processes", len(all))
}

// nothingLeft looks for what belongs to no task.
func (w *world) nothingLeft(known map[string]*container) error {
	slots := len(known)
	for _, c := range known {
		for _, p := range c.execs {
			if p.started == yes && p.deleted == no {
				slots++
			}
		}
	}
	return vanishes("left", func() []string {
		return leftOf(w.Host, func(id string) bool { return known[id] != nil }, slots)
	})
}

// leftOf is what there is of containers that are not known, and whether the map of exits has not as many entries as
// it should.
func leftOf(h *host.Host, known func(id string) bool, slots int) (left []string) {
	for id, things := range h.Things(namespace) {
		if !known(id) {
			left = append(left, things...)
		}
	}
	entries, err := h.MapEntries("exits")
	if err != nil || entries != slots {
		left = append(left, fmt.Sprintf("%d entries in the map of exits instead of %d: %v", entries, slots, err))
	}
	return left
}

// vanishes waits until nothing is seen any more of what should not be, or says what is.
func vanishes(what string, look func() []string) error {
	var seen []string
	if !host.Poll(eventLimit, func() bool {
		seen = look()
		return len(seen) == 0
	}) {
		return fmt.Errorf("%s: %q", what, seen)
	}
	return nil
}
