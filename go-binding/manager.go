// SPDX-License-Identifier: Apache-2.0

package embedshim

// #include <embedshim/embedshim.h>
import "C"

import (
	"math"
	"sync"
	"time"
	"unsafe"
)

// ManagerOptions are struct es_manager_opts.
type ManagerOptions struct {
	RootDir           string
	StateDir          string
	BPFDir            string        // empty: choose
	Runtime           string        // empty: runc
	RuntimeRoot       string        // empty: below StateDir
	Capacity          uint32        // 0: 10000
	RuntimeTimeout    time.Duration // 0: two minutes
	RequirePersistent bool
	IOHelper          string // path of embedshim-io; empty: as it was installed with the library
}

// Manager is the root handle.
type Manager struct {
	handle
	c      *C.struct_es_manager
	events *eventReader

	mu      sync.Mutex
	waiters map[uint64]*waiter // by trace ID: who waits for an exit
}

func milliseconds(d time.Duration) C.uint32_t {
	ms := (d + time.Millisecond - 1) / time.Millisecond
	if ms < 0 {
		return 0
	}
	if ms > math.MaxUint32 {
		return math.MaxUint32
	}
	return C.uint32_t(ms)
}

// Open is es_manager_open. onEvent is called for every event, in order, by one goroutine, before those who
// wait for the same exit are woken; it may be nil. It must not call Manager.Close.
func Open(o ManagerOptions, onEvent func(Event)) (*Manager, error) {
	var (
		opts C.struct_es_manager_opts
		m    = &Manager{waiters: make(map[uint64]*waiter)}
	)
	strings := []struct {
		to   **C.char
		from string
	}{
		{&opts.root_dir, o.RootDir},
		{&opts.state_dir, o.StateDir},
		{&opts.bpf_dir, o.BPFDir},
		{&opts.runtime, o.Runtime},
		{&opts.runtime_root, o.RuntimeRoot},
		{&opts.io_helper, o.IOHelper},
	}
	// The struct is Go's and may hold pointers to C memory only: the text is handed over in C memory.
	for _, s := range strings {
		*s.to = cString(s.from)
		defer cFree(*s.to)
	}
	text := newErrorText()
	defer text.free()
	opts.size = C.size_t(unsafe.Sizeof(opts))
	opts.capacity = C.uint32_t(o.Capacity)
	opts.runtime_timeout_ms = milliseconds(o.RuntimeTimeout)
	if o.RequirePersistent {
		opts.flags |= C.ES_MANAGER_REQUIRE_PERSISTENT
	}
	opts.error = text.c
	r := C.es_manager_open(&opts, &m.c)
	if r < 0 {
		return nil, newError("open", r, text.c)
	}
	events, err := newEventReader(m, onEvent)
	if err != nil {
		C.es_manager_close(m.c)
		return nil, err
	}
	m.events = events
	return m, nil
}

// Warning is es_manager_warning; empty if nothing is weaker than usual.
func (m *Manager) Warning() string {
	if m.enter() != nil {
		return ""
	}
	defer m.leave()
	if w := C.es_manager_warning(m.c); w != nil {
		return C.GoString(w)
	}
	return ""
}

// Settle is es_manager_settle. It blocks a thread: a negative timeout has no limit.
func (m *Manager) Settle(timeout time.Duration) error {
	if err := m.enter(); err != nil {
		return err
	}
	defer m.leave()
	ms := C.int(-1)
	if timeout >= 0 {
		ms = C.int(milliseconds(timeout))
	}
	return newError("settle", C.es_manager_settle(m.c, ms), nil)
}

// List is es_manager_list; an empty namespace is all of them. The caller closes the tasks.
func (m *Manager) List(namespace string) ([]*Task, error) {
	var list **C.struct_es_task

	if err := m.enter(); err != nil {
		return nil, err
	}
	defer m.leave()
	ns := cString(namespace)
	defer cFree(ns)
	n := C.es_manager_list(m.c, ns, &list)
	if n < 0 {
		return nil, newError("list", n, nil)
	}
	tasks := make([]*Task, 0, int(n))
	entries := unsafe.Slice(list, int(n)+1)
	for _, c := range entries[:n] {
		tasks = append(tasks, m.newTask(c))
	}
	// The references are ours now: what is left of the array is its end.
	entries[0] = nil
	C.es_task_list_free(list)
	return tasks, nil
}

// Get is es_manager_get. The caller closes the task.
func (m *Manager) Get(namespace, id string) (*Task, error) {
	var c *C.struct_es_task

	if err := m.enter(); err != nil {
		return nil, err
	}
	defer m.leave()
	ns, cid := C.CString(namespace), C.CString(id)
	defer cFree(ns)
	defer cFree(cid)
	if r := C.es_manager_get(m.c, ns, cid, &c); r < 0 {
		return nil, newError("get "+namespace+"/"+id, r, nil)
	}
	return m.newTask(c), nil
}

// Close is es_manager_close. Waits under way end with ErrClosed; it waits for calls that run a runtime
// command. Containers go on.
func (m *Manager) Close() error {
	m.events.stop()
	m.close(func() {
		C.es_manager_close(m.c)
		m.c = nil
	})
	return nil
}
