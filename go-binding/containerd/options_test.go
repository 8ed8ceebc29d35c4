// SPDX-License-Identifier: Apache-2.0

package embed

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	runcoptions "github.com/containerd/containerd/api/types/runc/options"
	runtimeoptions "github.com/containerd/containerd/api/types/runtimeoptions/v1"
	"github.com/containerd/errdefs"
	"github.com/containerd/typeurl/v2"
	"google.golang.org/protobuf/types/known/anypb"
)

func marshal(t *testing.T, v any) typeurl.Any {
	t.Helper()
	any, err := typeurl.MarshalAny(v)
	if err != nil {
		t.Fatal(err)
	}
	return any
}

func TestOptionsAreMergedFieldByField(t *testing.T) {
	defaults := options{BinaryName: "runc", Root: "/default", SystemdCgroup: true, IoUid: 1}
	container := marshal(t, &runcoptions.Options{Root: "/container", NoPivotRoot: true, IoGid: 7})
	task := marshal(t, &runcoptions.Options{BinaryName: "/task/runc", IoUid: 5})
	got, err := resolveOptions(defaults, container, task)
	if err != nil {
		t.Fatal(err)
	}
	want := options{
		BinaryName: "/task/runc", Root: "/container", SystemdCgroup: true, NoPivotRoot: true, IoUid: 5, IoGid: 7,
	}
	if got != want {
		t.Errorf("%+v, not %+v", got, want)
	}
}

func TestNoOptionsAreNone(t *testing.T) {
	var typedNil *anypb.Any

	for name, any := range map[string]typeurl.Any{"nil": nil, "typed nil": typedNil, "empty": &anypb.Any{}} {
		if got, err := decodeOptions(any); err != nil || got != (options{}) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}

func TestRuntimeOptions(t *testing.T) {
	body := "BinaryName = \"crun\"\nSystemdCgroup = true\nIoUid = 3\nCriuPath = \"\"\n"
	path := filepath.Join(t.TempDir(), "options.toml")
	if err := os.WriteFile(path, []byte(body), 0o600); err != nil {
		t.Fatal(err)
	}
	want := options{BinaryName: "crun", SystemdCgroup: true, IoUid: 3}
	for name, v := range map[string]*runtimeoptions.Options{
		"body": {ConfigBody: []byte(body)},
		"path": {ConfigPath: path},
		"both": {ConfigBody: []byte(body), ConfigPath: "/missing"},
	} {
		if got, err := decodeOptions(marshal(t, v)); err != nil || got != want {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}

func TestBadOptionsAreErrorsThatNameThem(t *testing.T) {
	for name, c := range map[string]struct {
		any  typeurl.Any
		word string
	}{
		"unknown key":    {marshal(t, &runtimeoptions.Options{ConfigBody: []byte("Binary = \"x\"")}), "Binary"},
		"not TOML":       {marshal(t, &runtimeoptions.Options{ConfigBody: []byte("= =")}), "config body"},
		"missing file":   {marshal(t, &runtimeoptions.Options{ConfigPath: "/missing.toml"}), "/missing.toml"},
		"foreign type":   {marshal(t, &runcoptions.CheckpointOptions{Exit: true}), "CheckpointOptions"},
		"unknown type":   {&anypb.Any{TypeUrl: "nobody.knows/it", Value: []byte{1}}, "nobody.knows"},
		"broken message": {&anypb.Any{TypeUrl: "containerd.runc.v1.Options", Value: []byte{0xff}}, ""},
	} {
		_, err := resolveOptions(options{}, c.any, nil)
		if !errdefs.IsInvalidArgument(err) || !strings.Contains(err.Error(), c.word) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
