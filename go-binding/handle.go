// SPDX-License-Identifier: Apache-2.0

package embedshim

import "sync"

// handle keeps a C handle from being used after it has been freed: calls hold it for reading, Close for
// writing, so that Close waits for the calls that are under way.
type handle struct {
	mu     sync.RWMutex
	closed bool
}

// enter begins a call. On success leave must end it.
func (h *handle) enter() error {
	h.mu.RLock()
	if h.closed {
		h.mu.RUnlock()
		return ErrClosed
	}
	return nil
}

func (h *handle) leave() {
	h.mu.RUnlock()
}

// close runs free once, when no call is under way any more.
func (h *handle) close(free func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.closed {
		h.closed = true
		free()
	}
}
