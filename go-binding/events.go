// SPDX-License-Identifier: Apache-2.0

package embedshim

// #include <embedshim/embedshim.h>
import "C"

import (
	"context"
	"os"
	"sync"
	"syscall"
)

// EventKind is enum es_event_type.
type EventKind uint32

// Kinds of events.
const (
	EventExit     EventKind = C.ES_EVENT_EXIT
	EventExecExit EventKind = C.ES_EVENT_EXEC_EXIT
	EventOOM      EventKind = C.ES_EVENT_OOM
)

// Event is struct es_event.
type Event struct {
	Kind   EventKind
	Task   *Task  // the receiver's to Close
	ExecID string // of EventExecExit
	Exit   *Exit  // nil for EventOOM
}

// waiter is told once that the exit of a process is known.
type waiter struct {
	done  chan struct{}
	users int
}

// eventReader takes the events of a manager in one goroutine, parked on the runtime's poller.
type eventReader struct {
	manager *Manager
	file    *os.File
	onEvent func(Event)
	once    sync.Once
	stopped chan struct{} // closed when no event will be taken any more
	ended   chan struct{} // closed when the goroutine has returned
}

func newEventReader(m *Manager, onEvent func(Event)) (*eventReader, error) {
	// A descriptor of our own: closing the file must not close the library's.
	fd, _, errno := syscall.Syscall(syscall.SYS_FCNTL, uintptr(C.es_manager_fd(m.c)),
		syscall.F_DUPFD_CLOEXEC, 3)
	if errno != 0 {
		return nil, &Error{Op: "open", Errno: errno, RuntimeExit: -1}
	}
	// os.NewFile puts only what does not block into the poller.
	if err := syscall.SetNonblock(int(fd), true); err != nil {
		syscall.Close(int(fd))
		return nil, err
	}
	r := &eventReader{
		manager: m,
		file:    os.NewFile(fd, "embedshim"),
		onEvent: onEvent,
		stopped: make(chan struct{}),
		ended:   make(chan struct{}),
	}
	conn, err := r.file.SyscallConn()
	if err != nil {
		r.file.Close()
		return nil, err
	}
	go func() {
		defer close(r.ended)
		// Read returns when the file is closed. The poller is edge-triggered: take all there is.
		_ = conn.Read(func(uintptr) bool {
			for r.next() {
			}
			return false
		})
	}()
	return r, nil
}

// next takes one event and tells everybody. false: there is none.
func (r *eventReader) next() bool {
	var c C.struct_es_event

	select {
	case <-r.stopped:
		return false
	default:
	}
	if C.es_manager_next_event(r.manager.c, &c) <= 0 {
		return false
	}
	e := Event{Kind: EventKind(c._type)}
	if c.exec != nil {
		e.ExecID = C.GoString(C.es_exec_id(c.exec))
	}
	if e.Kind != EventOOM {
		e.Exit = newExit(&c.exit)
	}
	// The reference to the task is ours now.
	e.Task = r.manager.newTask(c.task)
	c.task = nil
	C.es_event_clear(&c)
	if r.onEvent != nil {
		r.onEvent(e)
	} else {
		e.Task.Close()
	}
	if e.Exit != nil {
		r.manager.wake(e.Exit.TraceID)
	}
	return true
}

// stop ends the goroutine and waits for it. Must not be called by onExit.
func (r *eventReader) stop() {
	r.once.Do(func() {
		close(r.stopped)
		r.file.Close()
		<-r.ended
	})
}

// waitFor registers a waiter for a trace ID; forget must follow.
func (m *Manager) waitFor(traceID uint64) *waiter {
	m.mu.Lock()
	defer m.mu.Unlock()
	w := m.waiters[traceID]
	if w == nil {
		w = &waiter{done: make(chan struct{})}
		m.waiters[traceID] = w
	}
	w.users++
	return w
}

func (m *Manager) forget(traceID uint64, w *waiter) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if w.users--; w.users == 0 && m.waiters[traceID] == w {
		delete(m.waiters, traceID)
	}
}

// wait waits until look knows an exit or fails. An exit is woken for when its event has been handed out.
func (m *Manager) wait(ctx context.Context, traceID uint64, look func() (*Exit, error)) (*Exit, error) {
	// Registered first: an exit between the look and the select must find the waiter.
	w := m.waitFor(traceID)
	defer m.forget(traceID, w)
	for {
		exit, err := look()
		if exit != nil || err != nil {
			return exit, err
		}
		select {
		case <-w.done:
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-m.events.stopped:
			return nil, ErrClosed
		}
	}
}

func (m *Manager) wake(traceID uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if w := m.waiters[traceID]; w != nil {
		delete(m.waiters, traceID)
		close(w.done)
	}
}
