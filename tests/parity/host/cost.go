// SPDX-License-Identifier: Apache-2.0

package host

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// PSS is the proportional memory of a process in bytes: what it shares counts by how many share it. 0: it has
// ended.
func PSS(pid int) int64 {
	return field(fmt.Sprintf("/proc/%d/smaps_rollup", pid), "Pss:") * 1024
}

// Private is the memory in bytes that nobody shares with a process.
func Private(pid int) int64 {
	rollup := fmt.Sprintf("/proc/%d/smaps_rollup", pid)
	return (field(rollup, "Private_Clean:") + field(rollup, "Private_Dirty:")) * 1024
}

// Threads is how many a process has.
func Threads(pid int) int {
	return int(field(fmt.Sprintf("/proc/%d/status", pid), "Threads:"))
}

// field is the number after a name in a file of /proc.
func field(path, name string) int64 {
	text, _ := os.ReadFile(path)
	for line := range strings.Lines(string(text)) {
		rest, ok := strings.CutPrefix(line, name)
		if words := strings.Fields(rest); ok && len(words) > 0 {
			n, _ := strconv.ParseInt(words[0], 10, 64)
			return n
		}
	}
	return 0
}

// Helpers are the processes that serve containers beside the daemon: shims, runtime commands, children of it.
func (h *Host) Helpers() []int {
	var pids []int
	for _, pid := range processes() {
		parent := field(fmt.Sprintf("/proc/%d/status", pid), "PPid:")
		if pid == h.Pid() || pid == os.Getpid() {
			continue
		}
		if int(parent) == h.Pid() || strings.Contains(CommandLine(pid), h.memory) {
			pids = append(pids, pid)
		}
	}
	return pids
}

// Memory is what the daemon and the helpers use, in bytes.
func (h *Host) Memory() int64 {
	sum := PSS(h.Pid())
	for _, pid := range h.Helpers() {
		sum += PSS(pid)
	}
	return sum
}
