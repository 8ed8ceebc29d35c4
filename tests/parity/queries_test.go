// SPDX-License-Identifier: Apache-2.0

package parity

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"sort"
	"strings"

	"github.com/containerd/cgroups/v3/cgroup1/stats"
	cgroup2 "github.com/containerd/cgroups/v3/cgroup2/stats"
	"github.com/containerd/containerd/api/services/tasks/v1"
	"github.com/containerd/typeurl/v2"
	"github.com/embedshim/embedshim/tests/parity/host"
)

// metrics records what kind of statistics there are, and those numbers that are known beforehand.
func (c *container) metrics() {
	ctx, cancel := c.s.call()
	defer cancel()
	response, err := c.s.tasks().Metrics(ctx, &tasks.MetricsRequest{Filters: []string{"id==" + c.id}})
	if err != nil {
		c.s.outcome("metrics "+c.id, err)
		return
	}
	c.s.say("metrics %s: %d", c.id, len(response.Metrics))
	for _, metric := range response.Metrics {
		v, err := typeurl.UnmarshalAny(metric.Data)
		if err != nil {
			c.s.Fatal(err)
		}
		c.s.say("metric %s: %s %s", metric.ID, metric.Data.TypeUrl, describeMetrics(v))
	}
}

func describeMetrics(v any) string {
	switch m := v.(type) {
	case *stats.Metrics:
		return fmt.Sprintf("cpu=%v time=%v memory=%v used=%v limit=%d pids=%d of %d blkio=%v hugetlb=%v network=%v",
			m.CPU != nil, m.CPU.GetUsage().GetTotal() > 0, m.Memory != nil, m.Memory.GetUsage().GetUsage() > 0,
			m.Memory.GetUsage().GetLimit(), m.Pids.GetCurrent(), m.Pids.GetLimit(), m.Blkio != nil,
			m.Hugetlb != nil, m.Network != nil)
	case *cgroup2.Metrics:
		return fmt.Sprintf("cpu=%v time=%v memory=%v used=%v limit=%d pids=%d of %d io=%v events=%v",
			m.CPU != nil, m.CPU.GetUsageUsec() > 0, m.Memory != nil, m.Memory.GetUsage() > 0,
			m.Memory.GetUsageLimit(), m.Pids.GetCurrent(), m.Pids.GetLimit(), m.Io != nil,
			m.MemoryEvents != nil)
	}
	return fmt.Sprintf("%T", v)
}

// list records the tasks of the scenario in the daemon's list.
func (s *side) list() {
	ctx, cancel := s.call()
	defer cancel()
	response, err := s.tasks().List(ctx, &tasks.ListTasksRequest{})
	if err != nil {
		s.outcome("list", err)
		return
	}
	var lines []string
	for _, t := range response.Tasks {
		if strings.HasPrefix(t.ID, s.scenario) {
			lines = append(lines, fmt.Sprintf("%s container=%s pid=%s %v", t.ID, t.ContainerID,
				s.normal.pid(t.Pid), t.Status))
		}
	}
	sort.Strings(lines)
	s.say("list: %s", strings.Join(lines, ", "))
}

// runtimeInfo records what the daemon says of the runtime.
func (s *side) runtimeInfo(what string, options any) {
	ctx, cancel := s.call()
	defer cancel()
	info, err := s.client().RuntimeInfo(ctx, s.runtime, options)
	if err != nil {
		s.outcome("runtime info with "+what, err)
		return
	}
	s.say("runtime info with %s: name=%s", what, info.Name)
	s.say("runtime version: %q %q", info.Version.Version, info.Version.Revision)
	s.say("runtime options: %T", info.Options)
	features, err := json.Marshal(info.Features)
	s.say("runtime features: %s %v", features, err)
	s.say("runtime annotations: %v", info.Annotations)
}

// pidOf is the PID of a task's init.
func (s *side) pidOf(ctx context.Context, id string) int {
	response, err := s.tasks().Get(ctx, &tasks.GetRequest{ContainerID: id})
	if err != nil {
		s.Fatal(err)
	}
	return int(response.Process.Pid)
}

// running is the name of the program that init is.
func (c *container) running() string {
	name, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", c.s.pidOf(c.s.ctx, c.id)))
	return strings.TrimSpace(string(name))
}

// runs says whether a process of the container has text in its command line.
func (c *container) runs(text string) bool {
	return slices.ContainsFunc(processesIn(c.cgroup()), func(pid int) bool {
		return strings.Contains(host.CommandLine(pid), text)
	})
}
