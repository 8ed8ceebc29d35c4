// SPDX-License-Identifier: Apache-2.0

package embedshim

/*
#cgo pkg-config: libembedshim
#include <embedshim/embedshim.h>
#include <stdlib.h>

#if ES_VERSION_MAJOR != 0 || ES_VERSION_MINOR < 1
#error "libembedshim 0.1 or later is needed"
#endif
*/
import "C"

import "unsafe"

// cString is a C copy of s, or NULL for "": in options the two mean the same.
func cString(s string) *C.char {
	if s == "" {
		return nil
	}
	return C.CString(s)
}

func cFree(s *C.char) {
	C.free(unsafe.Pointer(s))
}

// Version is the version of the C library at run time.
func Version() string {
	return C.GoString(C.es_version())
}

// CheckIdentifier checks a task ID or a namespace by containerd's rule.
func CheckIdentifier(id string) error {
	c := C.CString(id)
	defer cFree(c)
	return newError("check identifier", C.es_identifier_check(c), nil)
}

// bits are the flags that are on.
func bits(flags map[C.uint32_t]bool) C.uint32_t {
	var all C.uint32_t

	for flag, on := range flags {
		if on {
			all |= flag
		}
	}
	return all
}

// errorText is a struct es_error in C memory, which C may keep a pointer to during a call.
type errorText struct {
	c *C.struct_es_error
}

func newErrorText() errorText {
	return errorText{(*C.struct_es_error)(C.calloc(1, C.sizeof_struct_es_error))}
}

func (t errorText) free() {
	C.free(unsafe.Pointer(t.c))
}
