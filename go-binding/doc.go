// SPDX-License-Identifier: Apache-2.0

// Package embedshim runs OCI containers without a shim process: a thin binding of libembedshim.
//
// A Manager owns a root and a state directory. One goroutine on the runtime's poller takes all exits from
// it, so that any number of Task.Wait calls block no thread. Every handle may be used by any number of
// goroutines; after Close its methods return ErrClosed. What a method does, and which errors it can
// return, is documented at the C function that it names.
package embedshim
