// SPDX-License-Identifier: Apache-2.0

package parity

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/embedshim/embedshim/tests/parity/host"
)

// ownScenarios run with the plugin only.
func ownScenarios() []scenario {
	return slices.Concat(repairScenarios, ownOptionScenarios, ownRestartScenarios)
}

// TestOurs tests what has nothing to be compared with: where the stock shim is wrong, and what it has not.
func TestOurs(t *testing.T) {
	if world.selfTest {
		t.Skip("SKIPPED: only containerd's own runtime is under test")
	}
	for _, sc := range ownScenarios() {
		t.Run(sc.name, func(t *testing.T) {
			s := newSide(t, world.sides[1], sc.name, newMeeting(1))
			defer func() {
				s.tearDown()
				if t.Failed() {
					t.Logf("seen:\n%s", strings.Join(s.lines, "\n"))
				}
			}()
			sc.run(s)
			s.nothingLeft()
		})
	}
	t.Run("descriptors", func(t *testing.T) {
		// Those of the last containers may go in the background.
		var open []string
		host.Poll(goneLimit, func() bool {
			open = daemonFiles(filepath.Join(world.dir, "scenarios"))
			return len(open) == 0
		})
		if len(open) > 0 {
			t.Errorf("containerd has open: %v", open)
		}
	})
}

// daemonFiles are the files below dir that containerd has open.
func daemonFiles(dir string) []string {
	var open []string
	links, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", world.daemon.Pid()))
	for _, link := range links {
		if target, err := os.Readlink(link); err == nil && strings.HasPrefix(target, dir) {
			open = append(open, target)
		}
	}
	return open
}

// saw demands that the last line of the record is like a pattern.
func (s *side) saw(pattern string) {
	s.Helper()
	last := s.lines[len(s.lines)-1]
	if !regexp.MustCompile("^(?:" + pattern + ")$").MatchString(last) {
		s.Errorf("saw %q, not %q", last, pattern)
	}
}

// nothingLeft ends the scenario: all its tasks were deleted.
func (s *side) nothingLeft() {
	s.Helper()
	for _, c := range s.containers {
		c.showLeft()
		s.saw("left of .*: 0 things")
	}
}

// sawEvents demands the container's events, each like its pattern.
func (c *container) sawEvents(patterns ...string) {
	c.s.Helper()
	var events []string
	host.Poll(goneLimit, func() bool {
		events = c.s.eventsOf(c.id)
		return len(events) >= len(patterns)
	})
	same := len(events) == len(patterns)
	for i := 0; same && i < len(events); i++ {
		same = regexp.MustCompile("^(?:" + patterns[i] + ")$").MatchString(events[i])
	}
	if !same {
		c.s.Errorf("events of %s:\n%s\nwanted:\n%s", c.id, strings.Join(events, "\n"), strings.Join(patterns, "\n"))
	}
}

// alive demands that the task still runs.
func (c *container) alive() {
	c.s.Helper()
	c.state()
	c.s.saw("state .* RUNNING .*")
}
