// SPDX-License-Identifier: Apache-2.0

package parity

import (
	"fmt"
	"slices"
	"sync"
	"time"

	eventsapi "github.com/containerd/containerd/api/events"
	"github.com/containerd/containerd/api/types"
	"github.com/embedshim/embedshim/tests/parity/host"
)

// recorder keeps the task events of a namespace in the order in which they came.
type recorder struct {
	listener *host.Listener

	mu     sync.Mutex
	events []any
}

var recorders = map[string]*recorder{}

// subscribeAll listens to both sides, again after a restart.
func subscribeAll() error {
	for _, kind := range world.sides {
		r := recorders[kind.namespace]
		if r == nil {
			r = &recorder{}
			recorders[kind.namespace] = r
		}
		if err := r.subscribe(kind.namespace); err != nil {
			return err
		}
	}
	return nil
}

func (r *recorder) subscribe(namespace string) (err error) {
	if r.listener != nil {
		r.listener.Stop()
	}
	r.listener, err = world.daemon.Listen(namespace, func(_ time.Time, event any) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.events = append(r.events, event)
	})
	return err
}

func (r *recorder) all() []any {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]any(nil), r.events...)
}

// describeEvent is an event as a line. ok is false for those that do not belong to a task of the container.
func (s *side) describeEvent(event any, container string) (text string, ok bool) {
	n := s.normal
	switch e := event.(type) {
	case *eventsapi.TaskCreate:
		io := e.IO
		return fmt.Sprintf("create bundle=%s rootfs=%s stdin=%s stdout=%s stderr=%s terminal=%v checkpoint=%s pid=%s",
			e.Bundle, mountsText(e.Rootfs), io.GetStdin(), io.GetStdout(), io.GetStderr(), io.GetTerminal(),
			e.Checkpoint, n.pid(e.Pid)), e.ContainerID == container
	case *eventsapi.TaskStart:
		return "start pid=" + n.pid(e.Pid), e.ContainerID == container
	case *eventsapi.TaskExit:
		return fmt.Sprintf("exit id=%s pid=%s status=%d at=%s", e.ID, n.pid(e.Pid), e.ExitStatus,
			n.time(processName(e.ContainerID, e.ID), e.ExitedAt)), e.ContainerID == container
	case *eventsapi.TaskDelete:
		return fmt.Sprintf("delete id=%s pid=%s status=%d at=%s", e.ID, n.pid(e.Pid), e.ExitStatus,
			n.time(e.ContainerID, e.ExitedAt)), e.ContainerID == container
	case *eventsapi.TaskOOM:
		return "oom", e.ContainerID == container
	case *eventsapi.TaskExecAdded:
		return "exec-added " + e.ExecID, e.ContainerID == container
	case *eventsapi.TaskExecStarted:
		return fmt.Sprintf("exec-started %s pid=%s", e.ExecID, n.pid(e.Pid)), e.ContainerID == container
	case *eventsapi.TaskPaused:
		return "paused", e.ContainerID == container
	case *eventsapi.TaskResumed:
		return "resumed", e.ContainerID == container
	case *eventsapi.TaskCheckpointed:
		return "checkpointed " + e.Checkpoint, e.ContainerID == container
	}
	return "", false
}

func mountsText(mounts []*types.Mount) string {
	text := "["
	for _, m := range mounts {
		text += fmt.Sprintf("%s %s %s %v;", m.Type, m.Source, m.Target, m.Options)
	}
	return text + "]"
}

// eventsOf are the events of a container as they are now.
func (s *side) eventsOf(container string) []string {
	var lines []string
	for _, event := range recorders[s.namespace].all() {
		if line, ok := s.describeEvent(event, container); ok {
			lines = append(lines, line)
		}
	}
	return lines
}

func contains(lines []string, line string) bool { return slices.Contains(lines, line) }

// processName is how the record calls the process of an event.
func processName(container, id string) string {
	if id == container {
		return container
	}
	return container + "/" + id
}
