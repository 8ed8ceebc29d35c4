// SPDX-License-Identifier: Apache-2.0

package parity

import (
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/embedshim/embedshim/tests/parity/host"
)

// scenarios are all that is compared, in the order of the run.
func scenarios() []scenario {
	return slices.Concat(lifecycleScenarios, execScenarios, controlScenarios, failureScenarios, exitScenarios,
		streamScenarios, optionScenarios, mountScenarios, checkpointScenarios, restartScenarios)
}

// TestParity runs every scenario with both runtimes and compares what was seen.
func TestParity(t *testing.T) {
	used := make(map[string]bool)
	ran := 0
	for _, sc := range scenarios() {
		t.Run(sc.name, func(t *testing.T) {
			ran++
			records := runBoth(t, sc)
			compare(t, sc.name, records, used)
		})
	}
	if ran == len(scenarios()) && !world.selfTest && !t.Failed() {
		for _, d := range differences {
			if !used[d.name] && !d.sometimes {
				t.Errorf("the difference %q was not seen: it is none any more", d.name)
			}
		}
	}
}

// runBoth runs a scenario with both runtimes at once, and returns the two records.
func runBoth(t *testing.T, sc scenario) [2][]string {
	var records [2][]string
	m := newMeeting(len(world.sides))
	t.Run("run", func(t *testing.T) {
		for i, kind := range world.sides {
			t.Run(kind.name, func(t *testing.T) {
				t.Parallel()
				defer m.leave()
				s := newSide(t, kind, sc.name, m)
				defer func() {
					s.tearDown()
					records[i] = s.lines
					if t.Failed() {
						t.Logf("seen so far:\n%s", strings.Join(s.lines, "\n"))
					}
				}()
				sc.run(s)
				s.finish()
			})
		}
	})
	if t.Failed() {
		t.FailNow()
	}
	if testing.Verbose() && os.Getenv("ES_PARITY_RECORD") != "" {
		t.Logf("record:\n%s", strings.Join(records[0], "\n"))
	}
	return records
}

// finish records what has accumulated: the calls of the runtime, the events, what is left.
func (s *side) finish() {
	for _, c := range s.containers {
		c.showLeft()
		text, _ := os.ReadFile(c.runtimeLog)
		for line := range strings.SplitSeq(strings.TrimSpace(string(text)), "\n") {
			if line != "" {
				s.say("runtime of %s: %s", c.id, line)
			}
		}
	}
	for _, c := range s.containers {
		for _, line := range c.settledEvents() {
			s.say("event of %s: %s", c.id, line)
		}
	}
}

// settledEvents are the container's events when no more will come. A deletion that the daemon reported has
// its event, from the stock shim only mostly: it is looked at by a test of its own.
func (c *container) settledEvents() []string {
	isDelete := func(line string) bool { return strings.HasPrefix(line, "delete ") }
	s := c.s
	deleted := slices.ContainsFunc(s.lines, func(line string) bool {
		return strings.HasPrefix(line, "delete "+c.id+": id=")
	})
	if deleted {
		limit := 300 * time.Millisecond
		if s.ours() {
			// After a restart events wait until clients can have come back.
			limit = goneLimit
		}
		came := host.Poll(limit, func() bool { return slices.ContainsFunc(s.eventsOf(c.id), isDelete) })
		if !came && s.ours() {
			s.say("event of %s: no delete", c.id)
		}
	}
	return canonical(slices.DeleteFunc(s.eventsOf(c.id), isDelete), c.id)
}

// canonical puts what has no order into one: exits of several execs at once; and OOM events first and once,
// which the stock shim may tell late or more than once with cgroup v1. Ours has tests of its own for it.
// An exit without a time is what the stock shim tells, or not, of a task that was deleted before its start.
func canonical(events []string, container string) []string {
	oom := contains(events, "oom")
	events = slices.DeleteFunc(events, func(line string) bool { return line == "oom" || strings.HasSuffix(line, " at=never") })
	ofExec := func(line string) bool {
		return strings.HasPrefix(line, "exit ") && !strings.HasPrefix(line, "exit id="+container+" ")
	}
	for begin := 0; begin < len(events); begin++ {
		end := begin
		for end < len(events) && ofExec(events[end]) {
			end++
		}
		slices.Sort(events[begin:end])
		begin = max(begin, end-1)
	}
	if oom {
		events = slices.Insert(events, 0, "oom")
	}
	return events
}
