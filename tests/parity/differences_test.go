// SPDX-License-Identifier: Apache-2.0

package parity

import (
	"os"
	"regexp"
	"slices"
	"testing"
)

// differences are those that are meant to be. docs/differences.md has the reason of each, under its name.
var differences = []difference{
	{
		name: "The words of a shim",
		stock: []rule{
			{"failed to create shim task: ", ""},
			{"failed to delete task: ", ""},
		},
	},
	{
		name: "Commands of the runtime that are not needed",
		stock: []rule{
			drop(`runtime of \S+: .* --log-format json kill .*`),
			drop(`runtime of \S+: .* --log-format json ps --format json .*`),
			drop(`runtime of \S+: .* --log-format json (--systemd-cgroup )?delete --force .*`),
			drop(`runtime of pause-killed: .* --log-format json resume .*`),
		},
		ours:      []rule{drop(`runtime of \S+: .* --log-format json (--systemd-cgroup )?delete --force .*`)},
		sometimes: true, // the shim's kill of what a container leaves
	},
	{
		name:  "The order of arguments",
		stock: []rule{{` --detach --pid-file (\S+) -no-subreaper --bundle (\S+) `, " --detach --no-subreaper --bundle $2 --pid-file $1 "}},
	},
	{
		name:      "Streams that cannot be opened",
		scenarios: "fail-*",
		stock: []rule{
			{`Unknown: failed to create init process I/O: unknown STDIO scheme nosuch$`, "Unimplemented: stdout: nosuch:///x: this scheme is not supported"},
			{`failed to start io pipe copy: .* open /no/such/dir/out: no such file or directory$`, "stdout: /no/such/dir/out: No such file or directory"},
			{`failed to create init process I/O: failed to start binary process: fork/exec /no/such/logger: no such file or directory$`, "cannot run logger /no/such/logger: No such file or directory"},
			drop(`runtime of fail-no-fifo: .* create .*`),
		},
	},
	{
		name: "Files of an exec",
		stock: []rule{{
			`--log \S+/log\.json --log-format json exec --process <process file>(.*) --pid-file \S+\.pid `,
			`--log <exec>/log.json --log-format json exec --process <exec>/process.json$1 --pid-file <exec>/init.pid `,
		}},
		ours: []rule{{`<bundles>/[^/ ]+/execs/([0-9]+|<[^>]*>)/`, "<exec>/"}},
	},
	{
		name:  "Files in the bundle",
		stock: []rule{drop(`bundle file (bootstrap\.json|log|s|shim-binary-path): .*`)},
		ours:  []rule{drop(`bundle file (cgroup|init\.json|task\.json): .*`)},
	},
	{
		name:      "The working directory of containers in one sandbox",
		scenarios: "sandbox-annotations",
		stock:     []rule{{`^(runtime of sandbox-annotations-2: )cwd=\S*`, "${1}cwd=<bundles>/sandbox-annotations-2"}},
	},
	{
		name:  "A task that is deleted before its start",
		stock: []rule{{`^(delete (created-deleted|list-2): .*) status=0 at=never$`, "$1 status=137 at=<t1>"}},
		ours: []rule{
			{`^(delete created-deleted: .*) at=<t2>$`, "$1 at=<t1>"},
			drop(`event of (created-deleted|list-2): exit id=\S+ pid=\S+ status=137 at=<t[12]>`),
		},
	},
	{
		name:      "Killing all of what has stopped",
		scenarios: "states",
		stock:     []rule{{`^(kill states 9 all=true): ok$`, "$1: NotFound: process already finished: not found"}},
	},
	{
		name:      "The status of an exec that could not be started",
		scenarios: "exec-missing-program",
		stock:     []rule{{`^(wait exec-missing-program/e: )0 at never$`, "${1}255 at <t1>"}},
	},
	{
		name: "Broken requests",
		stock: []rule{
			{`Unknown: unexpected end of JSON input$`, "InvalidArgument: process specification: unexpected end of JSON input: invalid argument"},
			{`Unknown: json: cannot unmarshal string into Go value of type specs\.LinuxResources$`, "InvalidArgument: resources are not a JSON object"},
			{`Unknown: unknown error after kill: .*: unable to signal init: invalid argument$`, "InvalidArgument: kill <namespace>/signals: invalid argument"},
			{`^(kill signals 0 all=false): ok$`, "$1: InvalidArgument: kill <namespace>/signals: invalid argument"},
		},
	},
	{
		name:      "An exec that was not started in a paused container",
		scenarios: "pause",
		stock:     []rule{{`^(state pause/added: id=added) PAUSED (pid=0 )`, "$1 CREATED $2"}},
	},
	{
		name: "The words of a failed runtime",
		stock: []rule{
			{`Unknown: \S+-runtime did not terminate successfully: exit status 1: failed to write`, "Unknown: OCI runtime update failed: failed to write"},
			{`(OCI runtime start failed: )\S+-runtime did not terminate successfully: exit status 3: `, "$1"},
			{`(OCI runtime create failed: )unable to retrieve OCI runtime error \(open \S+: no such file or directory\): (\S+-runtime) did not terminate successfully: exit status 3$`, "$1$2 exited with 3 and gave no reason"},
			{`(OCI runtime create failed: \S+-runtime) did not terminate successfully: exit status 4`, "$1 exited with 4 and gave no reason"},
			{`Unknown: OCI runtime create failed: unable to retrieve OCI runtime error .*: fork/exec /no/such/runtime: no such file or directory$`, `Unknown: OCI runtime "/no/such/runtime": No such file or directory`},
			{`Unknown: \S+-runtime did not terminate successfully: exit status 1: (criu failed: type DUMP errno 0) path= \S+$`, "Unknown: OCI runtime checkpoint failed: $1"},
		},
		ours: []rule{{`(criu failed: type DUMP errno 0) log file: \S+$`, "$1"}},
	},
	{
		name:      "The end of a logger",
		stock:     []rule{{`^(file logger\.log: ".*)ended\\n"$`, `$1"`}},
		ours:      []rule{{`^(file logger\.log: ".*)ended\\n"$`, `$1"`}},
		sometimes: true,
	},
	{
		name:      "The exit of an exec while containerd is down",
		scenarios: "restart-*",
		stock:     []rule{drop(`event of restart-\S+-running: exit id=meanwhile .*`)},
		ours:      []rule{drop(`event of restart-\S+-running: exit id=meanwhile .*`)},
		sometimes: true,
	},
	{
		name:      "The event of a checkpoint",
		ours:      []rule{drop(`event of \S+: checkpointed <dir>/image`)},
		sometimes: true, // criu does not work on every kernel
	},
	{
		name:      "A container that was deleted by hand",
		scenarios: "deleted-behind-our-back",
		stock:     []rule{{`no such container: not found$`, "process already finished: not found"}},
	},
	{
		name:      "The version in the runtime's information",
		scenarios: "runtime-info",
		stock:     []rule{{`^runtime version: .*`, "runtime version: <daemon's>"}},
		ours:      []rule{{`^runtime version: "v2\.[^"]*" "embedshim-[^"]*"$`, "runtime version: <daemon's>"}},
	},
}

// TestDifferences tests that the document explains these differences and no others.
func TestDifferences(t *testing.T) {
	text, err := os.ReadFile("../../docs/differences.md")
	if err != nil {
		t.Fatal(err)
	}
	var explained []string
	for _, match := range regexp.MustCompile(`(?m)^### (.*)\n\n\S`).FindAllStringSubmatch(string(text), -1) {
		explained = append(explained, match[1])
	}
	var names []string
	for _, d := range differences {
		names = append(names, d.name)
	}
	slices.Sort(explained)
	slices.Sort(names)
	if !slices.Equal(explained, names) {
		t.Errorf("explained in docs/differences.md: %q\nhere: %q", explained, names)
	}
}
