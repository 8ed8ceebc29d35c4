// SPDX-License-Identifier: Apache-2.0

package parity

import (
	"bufio"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strconv"
	"strings"

	"github.com/embedshim/embedshim/tests/parity/host"
	"golang.org/x/sys/unix"
)

// bundle is the directory of the task, whichever runtime made it.
func (c *container) bundle() string {
	if c.s.ours() {
		return filepath.Join(world.daemon.State, host.Embed, c.s.namespace, c.id)
	}
	return filepath.Join(world.daemon.State, "io.containerd.runtime.v2.task", c.s.namespace, c.id)
}

func (c *container) work() string {
	if c.s.ours() {
		return filepath.Join(world.daemon.Root, host.Embed, c.s.namespace, c.id)
	}
	return filepath.Join(world.daemon.Root, "io.containerd.runtime.v2.task", c.s.namespace, c.id)
}

// showMounts records what is mounted in the bundle.
func (c *container) showMounts() {
	mounts := host.MountsBelow(c.bundle())
	for _, m := range mounts {
		c.s.say("mount %s %s %s from %s", m.Point, m.Kind, m.Options, m.Source)
	}
	c.s.say("%d mounts in the bundle of %s", len(mounts), c.id)
}

// showBundle records names, modes and owners of what is in the bundle, and of its parents.
func (c *container) showBundle() {
	for dir, name := c.bundle(), "bundle"; len(dir) > len(world.daemon.State); dir, name = filepath.Dir(dir), "above" {
		c.s.say("%s: %s", name, modeOf(dir))
	}
	entries, err := os.ReadDir(c.bundle())
	if err != nil {
		c.s.Fatal(err)
	}
	for _, entry := range entries {
		path := filepath.Join(c.bundle(), entry.Name())
		target, _ := os.Readlink(path)
		c.s.say("bundle file %s: %s %s", entry.Name(), modeOf(path), target)
	}
}

func modeOf(path string) string {
	var stat unix.Stat_t
	if err := unix.Lstat(path, &stat); err != nil {
		return err.Error()
	}
	return fmt.Sprintf("%o %d:%d", stat.Mode, stat.Uid, stat.Gid)
}

// cgroupDirs are the cgroups whose path ends in name, in every hierarchy.
func cgroupDirs(name string) []string {
	var dirs []string
	for _, hierarchy := range host.Hierarchies() {
		dir := filepath.Join(hierarchy, name)
		if _, err := os.Stat(dir); err == nil {
			dirs = append(dirs, dir)
		}
	}
	return dirs
}

// showCgroups records in which hierarchies the container has a cgroup.
func (c *container) showCgroups() {
	names := cgroupDirs(c.cgroup())
	sort.Strings(names)
	c.s.say("cgroups of %s: %s", c.id, strings.Join(names, " "))
}

// left are the things of the container that are still there.
func (c *container) left() []string {
	var left []string
	for _, m := range host.MountsBelow(c.bundle()) {
		left = append(left, "mount "+m.Point)
	}
	for _, path := range []string{
		c.bundle(), c.work(),
		filepath.Join(c.s.runcRoot(), c.s.namespace, c.id),
	} {
		if _, err := os.Lstat(path); err == nil {
			left = append(left, "path "+path)
		}
	}
	for _, dir := range cgroupDirs(c.cgroup()) {
		left = append(left, "cgroup "+dir)
	}
	for _, pid := range processesWith(c.bundle()) {
		left = append(left, "process "+host.CommandLine(pid))
	}
	return left
}

// showLeft records what is left of a container, and gives what ends in the background time for it.
func (c *container) showLeft() {
	var left []string
	host.Poll(goneLimit, func() bool {
		left = c.left()
		return len(left) == 0
	})
	sort.Strings(left)
	for _, l := range left {
		c.s.say("left of %s: %s", c.id, l)
	}
	c.s.say("left of %s: %d things", c.id, len(left))
}

// processesWith are the processes in whose command line text occurs, but for the shims and this program.
func processesWith(text string) []int {
	return slices.DeleteFunc(host.ProcessesNaming(text), func(pid int) bool {
		return strings.Contains(host.CommandLine(pid), "containerd-shim-runc-v2")
	})
}

// processesIn are the processes in the cgroups below the one of that name.
func processesIn(cgroup string) []int {
	var pids []int
	for _, dir := range cgroupDirs(cgroup) {
		_ = filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.Name() != "cgroup.procs" {
				return nil
			}
			file, err := os.Open(path)
			if err != nil {
				return nil
			}
			defer file.Close()
			for lines := bufio.NewScanner(file); lines.Scan(); {
				if pid, err := strconv.Atoi(lines.Text()); err == nil && pid != 0 {
					pids = append(pids, pid)
				}
			}
			return nil
		})
	}
	sort.Ints(pids)
	return slices.Compact(pids)
}
