// SPDX-License-Identifier: Apache-2.0

package parity

import (
	"slices"
	"testing"
)

// row is something that containerd's shim can, with the scenarios that show it, or why there is none.
type row struct {
	what      string
	scenarios []string
	none      string
}

var rows = []row{
	// Calls of the task API.
	{what: "Create", scenarios: []string{"run", "states", "option-default-root"}},
	{what: "Create fails", scenarios: []string{"fail-program", "fail-directory", "fail-not-executable", "fail-cwd", "fail-rootfs",
		"fail-mount", "fail-rootfs-mount", "fail-second-mount", "fail-scheme", "fail-no-fifo", "fail-logger",
		"fail-options", "fail-runtime", "fail-runtime-says", "fail-late", "spec-that-is-not-json", "create-cancelled"}},
	{what: "Create of an ID that is taken", scenarios: []string{"create-twice"}},
	{what: "IDs", scenarios: []string{"long-names", "exec-ids"}},
	{what: "Start", scenarios: []string{"states", "fail-start"}},
	{what: "State", scenarios: []string{"states", "pause", "unknown", "exec-held"}},
	{what: "State of an exec in a paused container", scenarios: []string{"pause"}},
	{what: "Wait", scenarios: []string{"waiters", "run", "exec-missing-program"}},
	{what: "Kill", scenarios: []string{"states", "signals", "exec-refused", "deleted-behind-our-back"}},
	{what: "Kill of all", scenarios: []string{"kill-all", "kill-all-host-pid"}},
	{what: "Delete", scenarios: []string{"run", "states", "deletes-at-once", "fifo-large", "delete-event"}},
	{what: "Delete of what was never started", scenarios: []string{"created-deleted", "created-killed"}},
	{what: "Exec", scenarios: []string{"exec", "exec-refused", "exec-in-created", "exec-without-process"}},
	{what: "Start of an exec", scenarios: []string{"exec", "exec-missing-program", "exec-deleted-created",
		"exec-held-by-runtime", "exec-started-twice"}},
	{what: "Delete of an exec", scenarios: []string{"exec", "exec-refused", "exec-not-deleted"}},
	{what: "ResizePty", scenarios: []string{"no-streams", "terminal", "terminal-of-exec", "exec-refused"}},
	{what: "CloseIO", scenarios: []string{"no-streams", "stdin", "stdin-of-exec"}},
	{what: "Pids", scenarios: []string{"pids", "pause", "exec-ends-before-init"}},
	{what: "Pause and Resume", scenarios: []string{"pause", "pause-killed", "pause-updated"}},
	{what: "Update", scenarios: []string{"update", "pause-updated", "update-without-resources"}},
	{what: "Stats", scenarios: []string{"metrics", "restart-term"}},
	{what: "List", scenarios: []string{"list"}},
	{what: "Connect and Shutdown", none: "they are between containerd and a shim"},
	{what: "Checkpoint", scenarios: []string{"checkpoint", "checkpoint-refused"}},
	{what: "Restore", scenarios: []string{"restore", "restore-without-image"}},
	{what: "options of criu", scenarios: []string{"restore", "checkpoint"}},
	{what: "RuntimeInfo", scenarios: []string{"runtime-info"}},
	// Streams.
	{what: "no streams", scenarios: []string{"run", "no-streams"}},
	{what: "some streams", scenarios: []string{"only-stdout", "only-stderr", "only-stdin"}},
	{what: "FIFOs", scenarios: []string{"fifo-output", "fifo-large", "fifo-reader-returns"}},
	{what: "file://", scenarios: []string{"file-log", "file-log-of-exec", "file-log-of-both", "file-log-of-exec-complete"}},
	{what: "binary://", scenarios: []string{"binary-log", "binary-log-of-exec", "binary-log-crash",
		"binary-log-later-crash", "fail-logger"}},
	{what: "other schemes", scenarios: []string{"fail-scheme"}},
	{what: "stdin", scenarios: []string{"stdin", "stdin-of-exec", "stdin-kept-open", "stdin-of-client",
		"stdin-closed-before-start"}},
	{what: "terminal", scenarios: []string{"terminal", "terminal-of-exec", "terminal-without-stdin", "terminal-signal",
		"terminal-large"}},
	{what: "owner of the streams", scenarios: []string{"fifo-owner"}},
	{what: "end of the streams", scenarios: []string{"fifo-output", "exec-background-child"}},
	{what: "descriptors", scenarios: []string{"descriptors"}},
	// Exits.
	{what: "exit status", scenarios: []string{"exit-codes", "exit-signals", "exit-of-host-pid-init"}},
	{what: "exit time", scenarios: []string{"run", "states", "many-children"}},
	{what: "a status that is lost", none: "the library's own tests take the record away; the stock shim has none to lose"},
	{what: "exit while containerd is down", scenarios: []string{"exit-while-down-term", "exit-while-down-kill",
		"restart-term", "restart-kill"}},
	{what: "exit before Start returns", scenarios: []string{"exit-at-once", "exec-short"}},
	{what: "reuse of PIDs", none: "it needs another pid_max for the machine; the library's tests of the exit monitor have it"},
	{what: "the leading thread exits first", scenarios: []string{"leader-exits-first"}},
	{what: "exits of execs before init's", scenarios: []string{"exec-ends-before-init"}},
	{what: "the end of the rest without a PID namespace", scenarios: []string{"children-with-host-pid",
		"children-with-own-pid", "many-children"}},
	{what: "reaping", scenarios: []string{"pid-after-wait"}},
	{what: "events", scenarios: []string{"run", "exec", "pause", "delete-event"}},
	// Cgroups and memory.
	{what: "cgroups", scenarios: []string{"run", "metrics"}},
	{what: "enabling of controllers", none: "only with cgroup v2, where runc enables those that the limits need"},
	{what: "OOM", scenarios: []string{"oom-init", "oom-child", "oom-exec", "oom-before-exit", "exit-while-down-kill"}},
	{what: "shim_cgroup", scenarios: []string{"option-shim-cgroup"}},
	{what: "the shim's OOM score", none: "there is no shim"},
	// Options.
	{what: "no_pivot_root, no_new_keyring", scenarios: []string{"option-no-pivot", "option-no-keyring"}},
	{what: "io_uid, io_gid", scenarios: []string{"fifo-owner"}},
	{what: "binary_name", scenarios: []string{"option-binary-name", "option-none", "fail-options"}},
	{what: "root", scenarios: []string{"option-default-root", "option-other-root"}},
	{what: "systemd_cgroup", scenarios: []string{"option-systemd-cgroup"}},
	{what: "criu_image_path, criu_work_path", scenarios: []string{"restore"}},
	{what: "task_api_address, task_api_version", none: "of sandboxers that serve the task API themselves"},
	{what: "runtimeoptions.v1", scenarios: []string{"config-body", "config-path", "config-wrong"}},
	{what: "options of the task over the container's", scenarios: []string{"option-of-task"}},
	{what: "runtime_path", scenarios: []string{"runtime-path"}},
	// Mounts, bundle, files.
	{what: "rootfs mounts", scenarios: []string{"rootfs-bind", "rootfs-bind-ro", "rootfs-overlay", "rootfs-many-layers",
		"rootfs-two-mounts", "image"}},
	{what: "no rootfs mounts", scenarios: []string{"run"}},
	{what: "unmounting", scenarios: []string{"rootfs-overlay", "fail-rootfs-mount", "fail-second-mount"}},
	{what: "files in the bundle", scenarios: []string{"run", "user-namespace"}},
	{what: "the runtime's environment", scenarios: []string{"run"}},
	{what: "user namespaces", scenarios: []string{"user-namespace"}},
	{what: "annotations that group containers", scenarios: []string{"sandbox-annotations"}},
	// Restart.
	{what: "restart of containerd", scenarios: []string{"restart-term", "restart-kill", "restart-streams-term",
		"restart-streams-kill"}},
	{what: "half a bundle after a restart", none: "bundles are the runtime's own; the library's tests kill it at every step"},
	{what: "no record of a container after a restart", none: "containerd's client cannot delete a container that has a task"},
	{what: "the shim is killed", none: "there is no shim; restart-kill kills what takes its place"},
	{what: "reboot of the host", none: "a test cannot; the library's tests take away the pins"},
	{what: "shutdown of containerd", scenarios: []string{"restart-term", "exit-while-down-term"}},
	{what: "upgrade", none: "a shim is never upgraded; the library's tests replace one build by another"},
	{what: "several daemons on a host", none: "stock daemons share nothing; the library's tests open several roots at once"},
}

// TestRows tests that nothing is left out, and that every scenario is for something.
func TestRows(t *testing.T) {
	var known []string
	for _, sc := range slices.Concat(scenarios(), ownScenarios()) {
		known = append(known, sc.name)
	}
	known = append(known, "descriptors")
	used := make(map[string]bool)
	for _, r := range rows {
		if (len(r.scenarios) == 0) == (r.none == "") {
			t.Errorf("%s: there must be scenarios, or a reason why there are none", r.what)
		}
		for _, name := range r.scenarios {
			used[name] = true
			if !slices.Contains(known, name) {
				t.Errorf("%s: there is no scenario %s", r.what, name)
			}
		}
	}
	for i, name := range known {
		if !used[name] {
			t.Errorf("scenario %s is for nothing in the list", name)
		}
		if slices.Contains(known[:i], name) {
			t.Errorf("two scenarios are called %s", name)
		}
	}
}
