// SPDX-License-Identifier: Apache-2.0

package embedshim

// #include <embedshim/embedshim.h>
import "C"

import (
	"os"
	"sync"
	"syscall"
)

// waiter is told once that the exit of a task is known.
type waiter struct {
	done  chan struct{}
	users int
}

// exitReader takes the exits of a manager in one goroutine, parked on the runtime's poller.
type exitReader struct {
	manager *Manager
	file    *os.File
	onExit  func(*Task, *Exit)
	once    sync.Once
	stopped chan struct{} // closed when no exit will be taken any more
	ended   chan struct{} // closed when the goroutine has returned
}

func newExitReader(m *Manager, onExit func(*Task, *Exit)) (*exitReader, error) {
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
	r := &exitReader{
		manager: m,
		file:    os.NewFile(fd, "embedshim"),
		onExit:  onExit,
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

// next takes one exit and tells everybody. false: there is none.
func (r *exitReader) next() bool {
	var (
		c    *C.struct_es_task
		exit C.struct_es_exit
	)
	select {
	case <-r.stopped:
		return false
	default:
	}
	if C.es_manager_next_exit(r.manager.c, &c, &exit) <= 0 {
		return false
	}
	task := r.manager.newTask(c)
	r.manager.wake(task.traceID)
	if r.onExit != nil {
		r.onExit(task, newExit(&exit))
	} else {
		task.Close()
	}
	return true
}

// stop ends the goroutine and waits for it. Must not be called by onExit.
func (r *exitReader) stop() {
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

func (m *Manager) wake(traceID uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if w := m.waiters[traceID]; w != nil {
		delete(m.waiters, traceID)
		close(w.done)
	}
}
