// SPDX-License-Identifier: Apache-2.0

// Package embed runs containerd's tasks without a shim: it is the plugin "embed" of type
// io.containerd.runtime.v1, and the dispatcher that sends tasks of the runtime name
// io.containerd.runtime.v1.embed to it and all others to containerd's own task manager.
//
// The library does the work; what is here is what containerd's API is the interface of: options, mounts,
// events, statistics, error classes. No lock is held over a call of the library that can block, and an event is
// published by one goroutine per container, in order.
package embed
