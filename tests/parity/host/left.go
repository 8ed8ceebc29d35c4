// SPDX-License-Identifier: Apache-2.0

package host

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// goneLimit is how long what ends in the background may take before it counts as left. A zombie stays until
// the host's init reaps it.
const goneLimit = 10 * time.Second

func (h *Host) bundles(namespace string) string { return filepath.Join(h.state(), Embed, namespace) }

// Bundle is the directory of a task of ours.
func (h *Host) Bundle(namespace, id string) string { return filepath.Join(h.bundles(namespace), id) }

// Things are what there is of the containers of ours in a namespace, by their ID. What cannot be told from
// a path is under the empty ID.
func (h *Host) Things(namespace string) map[string][]string {
	things := map[string][]string{}
	add := func(id, what string) { things[id] = append(things[id], what) }
	for _, parent := range []string{
		h.bundles(namespace),
		filepath.Join(h.root(), Embed, namespace),
		filepath.Join(h.RuncRoot(), namespace),
	} {
		entries, _ := os.ReadDir(parent)
		for _, entry := range entries {
			add(entry.Name(), "directory "+filepath.Join(parent, entry.Name()))
		}
	}
	for _, parent := range h.cgroups(namespace) {
		entries, _ := os.ReadDir(parent)
		for _, entry := range entries {
			if entry.IsDir() {
				add(entry.Name(), "cgroup "+filepath.Join(parent, entry.Name()))
			}
		}
	}
	for _, point := range mountsBelow(h.bundles(namespace)) {
		rest := strings.TrimPrefix(point, h.bundles(namespace)+"/")
		id, _, _ := strings.Cut(rest, "/")
		add(id, "mount "+point)
	}
	for _, pid := range processesNaming(h.bundles(namespace)) {
		add("", "process "+commandLine(pid))
	}
	return things
}

// cgroups are the directories of a namespace in all hierarchies.
func (h *Host) cgroups(namespace string) []string {
	var dirs []string
	for _, hierarchy := range hierarchies() {
		dirs = append(dirs, filepath.Join(hierarchy, h.Cgroup, namespace))
	}
	return dirs
}

// Freezer is what the kernel says of a container: frozen or not.
func (h *Host) Freezer(namespace, id string) (frozen bool) {
	for _, dir := range h.cgroups(namespace) {
		state, _ := os.ReadFile(filepath.Join(dir, id, "freezer.state"))
		flag, _ := os.ReadFile(filepath.Join(dir, id, "cgroup.freeze"))
		frozen = frozen || string(state) == "FROZEN\n" || string(flag) == "1\n"
	}
	return frozen
}

func (h *Host) pins() string { return filepath.Join(h.root(), Embed, "bpf", "v1") }

// Pinned tells whether there are pins of ours, and MapEntries how many entries a map has.
func (h *Host) Pinned() bool {
	var st unix.Statfs_t

	err := unix.Statfs(h.pins(), &st)
	return err == nil && st.Type == unix.BPF_FS_MAGIC
}

// MapEntries counts the entries of a pinned map.
func (h *Host) MapEntries(name string) (int, error) {
	var entries []json.RawMessage

	if !h.Pinned() {
		return 0, errors.New("nothing is pinned in " + h.pins())
	}
	out, err := exec.Command("bpftool", "-j", "map", "dump", "pinned", filepath.Join(h.pins(), name)).Output()
	if err != nil {
		return 0, fmt.Errorf("bpftool: %w: %s", err, out)
	}
	err = json.Unmarshal(out, &entries)
	return len(entries), err
}

// Told are the exits in the bundles of a namespace that the daemon has noted as published, and when, by
// container and exec ID; the latter is empty for init.
func (h *Host) Told(namespace string) map[[2]string]time.Time {
	told := map[[2]string]time.Time{}
	bundles, _ := os.ReadDir(h.bundles(namespace))
	for _, entry := range bundles {
		bundle := h.Bundle(namespace, entry.Name())
		records, _ := filepath.Glob(filepath.Join(bundle, "execs", "*", "exec.json"))
		for _, path := range append(records, filepath.Join(bundle, "task.json")) {
			var record struct {
				ID      string `json:"id"`
				TraceID uint64 `json:"trace_id"`
			}
			text, err := os.ReadFile(path)
			if err != nil || json.Unmarshal(text, &record) != nil {
				continue
			}
			file, err := os.Stat(fmt.Sprintf("%s/exit-told-%d", bundle, record.TraceID))
			if err == nil {
				told[[2]string{entry.Name(), record.ID}] = file.ModTime()
			}
		}
	}
	return told
}

// endShims waits for the stock shims of this daemon, and kills those that stay.
func (h *Host) endShims() (left []string) {
	var shims []int
	Poll(stopWait, func() bool {
		shims = processesNaming(h.Address)
		return len(shims) == 0
	})
	for _, pid := range shims {
		left = append(left, "process "+commandLine(pid))
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	return left
}

// endContainers kills what runs in a cgroup of ours, and removes the cgroups.
func (h *Host) endContainers() (left []string) {
	var dirs []string
	for _, hierarchy := range hierarchies() {
		top := filepath.Join(hierarchy, h.Cgroup)
		_ = filepath.WalkDir(top, func(path string, entry fs.DirEntry, err error) error {
			if err == nil && entry.IsDir() {
				dirs = append(dirs, path)
				// Those of the containers must be gone; these are their parents.
				if strings.Count(strings.TrimPrefix(path, top), "/") > 1 {
					left = append(left, "cgroup "+path)
				}
			}
			return nil
		})
	}
	for _, dir := range dirs {
		_ = os.WriteFile(filepath.Join(dir, "freezer.state"), []byte("THAWED"), 0)
	}
	Poll(goneLimit, func() bool {
		for _, dir := range slices.Backward(dirs) {
			killAll(dir)
			_ = unix.Rmdir(dir)
		}
		dirs = slices.DeleteFunc(dirs, func(dir string) bool {
			_, err := os.Lstat(dir)
			return err != nil
		})
		return len(dirs) == 0
	})
	return left
}

func killAll(cgroup string) {
	text, _ := os.ReadFile(filepath.Join(cgroup, "cgroup.procs"))
	for field := range strings.FieldsSeq(string(text)) {
		if pid, err := strconv.Atoi(field); err == nil && pid > 1 {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
}

func (h *Host) unmount() (left []string) {
	for _, dir := range []string{h.disk, h.memory} {
		for _, point := range slices.Backward(mountsBelow(dir)) {
			left = append(left, "mount "+point)
			_ = unix.Unmount(point, unix.MNT_DETACH)
		}
	}
	return left
}

// mountsBelow are the mount points at dir and below, in the order in which they were made.
func mountsBelow(dir string) []string {
	var points []string
	eachMount(func(point, _ string) {
		if point == dir || strings.HasPrefix(point, dir+"/") {
			points = append(points, point)
		}
	})
	return points
}

func eachMount(fn func(point, kind string)) {
	text, _ := os.ReadFile("/proc/self/mountinfo")
	for line := range strings.Lines(string(text)) {
		left, right, ok := strings.Cut(line, " - ")
		fields, rest := strings.Fields(left), strings.Fields(right)
		if ok && len(fields) > 4 && len(rest) > 0 {
			fn(fields[4], rest[0])
		}
	}
}

// hierarchies are the mount points of cgroup file systems: the one of version 2, or one a controller.
func hierarchies() []string {
	var points []string
	eachMount(func(point, kind string) {
		if kind == "cgroup" || kind == "cgroup2" {
			points = append(points, point)
		}
	})
	return points
}

// processesNaming are the processes in whose command line text occurs, but for this one.
func processesNaming(text string) []int {
	var pids []int
	for _, pid := range processes() {
		if pid != os.Getpid() && bytes.Contains(rawCommandLine(pid), []byte(text)) {
			pids = append(pids, pid)
		}
	}
	return pids
}

func processes() []int {
	var pids []int
	entries, _ := os.ReadDir("/proc")
	for _, entry := range entries {
		if pid, err := strconv.Atoi(entry.Name()); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}

func rawCommandLine(pid int) []byte {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	return text
}

func commandLine(pid int) string {
	return strings.TrimSpace(string(bytes.ReplaceAll(rawCommandLine(pid), []byte{0}, []byte{' '})))
}
