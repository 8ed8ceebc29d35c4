// SPDX-License-Identifier: Apache-2.0

package embedshim

// #include <embedshim/embedshim.h>
import "C"

import (
	"time"
	"unsafe"
)

// IDAllocator hands out trace IDs that are never used twice.
type IDAllocator struct {
	handle
	c *C.struct_es_idalloc
}

// OpenIDAllocator is es_idalloc_open: every ID is larger than floor.
func OpenIDAllocator(path string, floor uint64, busyTimeout time.Duration) (*IDAllocator, error) {
	var opts C.struct_es_idalloc_opts

	a := &IDAllocator{}
	text := newErrorText()
	defer text.free()
	opts.size = C.size_t(unsafe.Sizeof(opts))
	opts.path = cString(path)
	defer cFree((*C.char)(unsafe.Pointer(opts.path)))
	opts.floor = C.uint64_t(floor)
	opts.busy_timeout_ms = milliseconds(busyTimeout)
	opts.error = text.c
	if r := C.es_idalloc_open(&opts, &a.c); r < 0 {
		return nil, newError("open ID allocator", r, text.c)
	}
	return a, nil
}

// Next is es_idalloc_next.
func (a *IDAllocator) Next() (uint64, error) {
	var id C.uint64_t

	if err := a.enter(); err != nil {
		return 0, err
	}
	defer a.leave()
	if r := C.es_idalloc_next(a.c, &id); r < 0 {
		return 0, newError("take a trace ID", r, nil)
	}
	return uint64(id), nil
}

// Close is es_idalloc_free.
func (a *IDAllocator) Close() error {
	a.close(func() {
		C.es_idalloc_free(a.c)
		a.c = nil
	})
	return nil
}
