// SPDX-License-Identifier: Apache-2.0

package embedshim

// #include <embedshim/embedshim.h>
import "C"

import "time"

// ExitSource tells where the knowledge about an exit comes from: enum es_exit_source.
type ExitSource uint32

// Sources of an exit.
const (
	ExitBPF  ExitSource = C.ES_EXIT_BPF
	ExitWait ExitSource = C.ES_EXIT_WAIT
	ExitLost ExitSource = C.ES_EXIT_LOST
)

// String is es_exit_source_name.
func (s ExitSource) String() string {
	return C.GoString(C.es_exit_source_name(C.uint32_t(s)))
}

// Exit tells how a process ended: a copy of struct es_exit. A lost exit has Status and Code -1.
type Exit struct {
	TraceID    uint64
	Pid        int
	Status     int // raw wait status
	Code       int // exit code, or 128 + signal
	Signal     int
	Source     ExitSource
	CoreDumped bool
	OOMKilled  bool // this process, not merely its cgroup
	StartedAt  time.Time
	ExitedAt   time.Time // zero if lost
	// On CLOCK_BOOTTIME.
	StartedBoot, ExitedBoot time.Duration
	PeakRSS                 uint64 // bytes
	User, System            time.Duration
	CgroupID                uint64
	Comm                    string
}

func realTime(ns C.uint64_t) time.Time {
	if ns == 0 {
		return time.Time{}
	}
	return time.Unix(0, int64(ns))
}

func newExit(e *C.struct_es_exit) *Exit {
	return &Exit{
		TraceID:     uint64(e.trace_id),
		Pid:         int(e.pid),
		Status:      int(e.status),
		Code:        int(e.code),
		Signal:      int(e.signal),
		Source:      ExitSource(e.source),
		CoreDumped:  e.flags&C.ES_EXIT_CORE != 0,
		OOMKilled:   e.flags&C.ES_EXIT_OOM != 0,
		StartedAt:   realTime(e.started_real_ns),
		ExitedAt:    realTime(e.exited_real_ns),
		StartedBoot: time.Duration(e.started_boot_ns),
		ExitedBoot:  time.Duration(e.exited_boot_ns),
		PeakRSS:     uint64(e.peak_rss_bytes),
		User:        time.Duration(e.user_ns),
		System:      time.Duration(e.system_ns),
		CgroupID:    uint64(e.cgroup_id),
		Comm:        C.GoString(&e.comm[0]),
	}
}
