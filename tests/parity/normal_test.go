// SPDX-License-Identifier: Apache-2.0

package parity

import (
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/embedshim/embedshim/tests/parity/host"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// sameTime is what reports of one exit may differ by: after a restart its time is computed again, from the time
// since boot, with a clock that is adjusted meanwhile.
const sameTime = time.Millisecond

// normaliser replaces what differs from run to run: PIDs and times by names, in the order in which they are
// first seen, and paths by what they mean.
type normaliser struct {
	began    time.Time
	replacer *strings.Replacer

	mu    sync.Mutex
	pids  map[string]string
	times map[string][]time.Time
}

func newNormaliser(kind sideKind, dir string) *normaliser {
	d := world.daemon
	plugin := "io.containerd.runtime.v2.task"
	if kind.ours() {
		plugin = host.Embed
	}
	return &normaliser{
		began: time.Now(),
		pids:  make(map[string]string),
		times: make(map[string][]time.Time),
		replacer: strings.NewReplacer(
			filepath.Join(d.State, plugin, kind.namespace), "<bundles>",
			filepath.Join(d.Root, plugin, kind.namespace), "<works>",
			dir, "<dir>",
			world.dir, "<world>",
			world.cgroup, "<cgroup>",
			kind.namespace, "<namespace>",
			kind.runtime, "<name>",
		),
	}
}

var (
	number   = regexp.MustCompile(`\b[0-9]{3,}\b`)
	volatile = []struct {
		what *regexp.Regexp
		is   string
	}{
		{regexp.MustCompile(`/tmp/runc-process[0-9]+`), "<process file>"},
		{regexp.MustCompile(`/[^ ]*/pty[0-9]+/pty\.sock`), "<console socket>"},
		{regexp.MustCompile(`/proc/[0-9]+/fd/[0-9]+/console\.sock`), "<console socket>"},
		{regexp.MustCompile(`<dir>/[0-9]+/`), "<dir>/<number>/"},
		{regexp.MustCompile(`ctrd-checkpoint[0-9]+`), "ctrd-checkpoint"},
		{regexp.MustCompile(`<bundles>/([^/ ]+)/work\b`), "<works>/$1"},
		{regexp.MustCompile(`time="[^"]*"`), `time="<time>"`},
	}
)

func (n *normaliser) text(s string) string {
	s = n.replacer.Replace(s)
	for _, v := range volatile {
		s = v.what.ReplaceAllString(s, v.is)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	return number.ReplaceAllStringFunc(s, func(pid string) string {
		if name, ok := n.pids[pid]; ok {
			return name
		}
		return pid
	})
}

// know gives a PID a name.
func (n *normaliser) know(pid uint32, name string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if pid != 0 {
		n.pids[fmt.Sprint(pid)] = "<" + name + ">"
	}
}

func (n *normaliser) pid(pid uint32) string {
	n.mu.Lock()
	defer n.mu.Unlock()
	if pid == 0 {
		return "0"
	}
	if name, ok := n.pids[fmt.Sprint(pid)]; ok {
		return name
	}
	return "<unknown pid>"
}

// time names the time of a process's exit: all reports of it must agree. A process that has the ID of an
// earlier one has another time.
func (n *normaliser) time(owner string, t *timestamppb.Timestamp) string {
	at := t.AsTime()
	if at.IsZero() {
		return "never"
	}
	if at.Unix() == 0 {
		return "1970"
	}
	if at.Before(n.began) || at.After(time.Now()) {
		return "<time out of range>"
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	i := slices.IndexFunc(n.times[owner], func(other time.Time) bool { return at.Sub(other).Abs() < sameTime })
	if i < 0 {
		i = len(n.times[owner])
		n.times[owner] = append(n.times[owner], at)
	}
	return fmt.Sprintf("<t%d>", i+1)
}

// errorText is the class and the text of a call's failure.
func errorText(err error) string {
	s := status.Convert(err)
	if s.Code() == codes.DeadlineExceeded {
		// Client and server say it differently, and either may be the first.
		return s.Code().String()
	}
	return fmt.Sprintf("%v: %s", s.Code(), s.Message())
}
