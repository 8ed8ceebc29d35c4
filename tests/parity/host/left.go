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

func (h *Host) bundles(namespace string) string { return filepath.Join(h.State, Embed, namespace) }

// Bundle is the directory of a task of ours.
func (h *Host) Bundle(namespace, id string) string { return filepath.Join(h.bundles(namespace), id) }

// Things are what there is of the containers of ours in a namespace, by their ID. What cannot be told from
// a path is under the empty ID.
func (h *Host) Things(namespace string) map[string][]string {
	things := map[string][]string{}
	add := func(id, what string) { things[id] = append(things[id], what) }
	for _, parent := range []string{
		h.bundles(namespace),
		filepath.Join(h.Root, Embed, namespace),
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
	for _, m := range MountsBelow(h.bundles(namespace)) {
		rest := strings.TrimPrefix(m.Point, h.bundles(namespace)+"/")
		id, _, _ := strings.Cut(rest, "/")
		add(id, "mount "+m.Point)
	}
	for _, pid := range ProcessesNaming(h.bundles(namespace)) {
		add("", "process "+CommandLine(pid))
	}
	return things
}

// cgroups are the directories of a namespace in all hierarchies.
func (h *Host) cgroups(namespace string) []string {
	var dirs []string
	for _, hierarchy := range Hierarchies() {
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

func (h *Host) pins() string { return filepath.Join(h.Root, Embed, "bpf", "v1") }

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

// EndContainers kills what runs in the cgroups below one, and removes them all. It names those of containers.
func EndContainers(cgroup string) (left []string) {
	var dirs []string
	for _, hierarchy := range Hierarchies() {
		top := filepath.Join(hierarchy, cgroup)
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

// Unmount unmounts what is mounted at dir and below, and names it.
func Unmount(dir string) (left []string) {
	for _, m := range slices.Backward(MountsBelow(dir)) {
		left = append(left, "mount "+m.Point)
		_ = unix.Unmount(m.Point, unix.MNT_DETACH)
	}
	return left
}

// Mount is a line of mountinfo.
type Mount struct {
	Point, Options, Kind, Source string
}

// MountsBelow are the mounts at dir and below, in the order in which they were made.
func MountsBelow(dir string) []Mount {
	var mounts []Mount
	text, _ := os.ReadFile("/proc/self/mountinfo")
	for line := range strings.Lines(string(text)) {
		left, right, ok := strings.Cut(line, " - ")
		fields, rest := strings.Fields(left), strings.Fields(right)
		if !ok || len(fields) < 6 || len(rest) < 2 {
			continue
		}
		if fields[4] == dir || strings.HasPrefix(fields[4], dir+"/") {
			// The file system's options name the layers of an overlay; its own come with it.
			mounts = append(mounts, Mount{fields[4], fields[5], rest[0], rest[1]})
		}
	}
	return mounts
}

// Hierarchies are the mount points of cgroup file systems: the one of version 2, or one a controller.
func Hierarchies() []string {
	var points []string
	for _, m := range MountsBelow("/sys/fs/cgroup") {
		if m.Kind == "cgroup" || m.Kind == "cgroup2" {
			points = append(points, m.Point)
		}
	}
	return points
}

// ProcessesNaming are the processes in whose command line text occurs, but for this one.
func ProcessesNaming(text string) []int {
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

// CommandLine is a process's, with spaces between the arguments.
func CommandLine(pid int) string {
	return strings.TrimSpace(string(bytes.ReplaceAll(rawCommandLine(pid), []byte{0}, []byte{' '})))
}
