// SPDX-License-Identifier: Apache-2.0

package embed

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"

	runcoptions "github.com/containerd/containerd/api/types/runc/options"
	runtimeoptions "github.com/containerd/containerd/api/types/runtimeoptions/v1"
	"github.com/containerd/errdefs"
	"github.com/containerd/typeurl/v2"
	"github.com/pelletier/go-toml/v2"
)

// options are those of containerd's runc runtime, by the names that CRI's configuration gives them.
type options struct {
	BinaryName    string
	Root          string
	SystemdCgroup bool
	NoPivotRoot   bool
	NoNewKeyring  bool
	IoUid         uint32 //nolint:revive // as in containerd
	IoGid         uint32
	CriuImagePath string
	CriuWorkPath  string
	// There is no shim that could be put there.
	ShimCgroup string
	// Of sandboxers that serve the task API themselves.
	TaskAPIAddress string `toml:"TaskApiAddress"`
	TaskAPIVersion uint32 `toml:"TaskApiVersion"`
	// Removed in containerd 2.0, and still written by some configurations.
	CriuPath string
}

// merge lays over what o sets. A value that is zero counts as not set.
func (o *options) merge(over options) {
	for _, s := range []struct{ to, from *string }{
		{&o.BinaryName, &over.BinaryName},
		{&o.Root, &over.Root},
		{&o.CriuImagePath, &over.CriuImagePath},
		{&o.CriuWorkPath, &over.CriuWorkPath},
		{&o.ShimCgroup, &over.ShimCgroup},
	} {
		if *s.from != "" {
			*s.to = *s.from
		}
	}
	for _, n := range []struct{ to, from *uint32 }{{&o.IoUid, &over.IoUid}, {&o.IoGid, &over.IoGid}} {
		if *n.from != 0 {
			*n.to = *n.from
		}
	}
	o.SystemdCgroup = o.SystemdCgroup || over.SystemdCgroup
	o.NoPivotRoot = o.NoPivotRoot || over.NoPivotRoot
	o.NoNewKeyring = o.NoNewKeyring || over.NoNewKeyring
}

// resolveOptions lays the container's and the task's options over the defaults, field by field. The client
// starts the task's as a copy of the container's, so the order between the two seldom matters.
func resolveOptions(defaults options, container, task typeurl.Any) (options, error) {
	o := defaults
	for _, given := range []struct {
		name string
		any  typeurl.Any
	}{{"runtime options", container}, {"task options", task}} {
		over, err := decodeOptions(given.any)
		if err != nil {
			return options{}, fmt.Errorf("%s: %w", given.name, err)
		}
		o.merge(over)
	}
	return o, nil
}

// decodeOptions decodes the options types that containerd's clients and CRI send.
func decodeOptions(any typeurl.Any) (options, error) {
	// A nil pointer in the interface is what comes when there are none.
	if any == nil || any.GetTypeUrl() == "" || any.GetValue() == nil {
		return options{}, nil
	}
	v, err := typeurl.UnmarshalAny(any)
	if err != nil {
		return options{}, fmt.Errorf("%w: %w", err, errdefs.ErrInvalidArgument)
	}
	switch v := v.(type) {
	case *runcoptions.Options:
		return options{
			BinaryName:    v.BinaryName,
			Root:          v.Root,
			SystemdCgroup: v.SystemdCgroup,
			NoPivotRoot:   v.NoPivotRoot,
			NoNewKeyring:  v.NoNewKeyring,
			IoUid:         v.IoUid,
			IoGid:         v.IoGid,
			CriuImagePath: v.CriuImagePath,
			CriuWorkPath:  v.CriuWorkPath,
			ShimCgroup:    v.ShimCgroup,
		}, nil
	case *runtimeoptions.Options:
		return decodeRuntimeOptions(v)
	}
	return options{}, fmt.Errorf("type %s is not supported: %w", any.GetTypeUrl(), errdefs.ErrInvalidArgument)
}

func decodeRuntimeOptions(v *runtimeoptions.Options) (options, error) {
	body, from := v.ConfigBody, "config body"
	if len(body) == 0 && v.ConfigPath != "" {
		var err error

		from = v.ConfigPath
		if body, err = os.ReadFile(v.ConfigPath); err != nil {
			return options{}, fmt.Errorf("%w: %w", err, errdefs.ErrInvalidArgument)
		}
	}
	var o options
	if err := decodeStrictly(body, &o); err != nil {
		return options{}, fmt.Errorf("%s: %w: %w", from, err, errdefs.ErrInvalidArgument)
	}
	return o, nil
}

// decodeStrictly takes no key that v does not have.
func decodeStrictly(text []byte, v any) error {
	var strict *toml.StrictMissingError

	decoder := toml.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	err := decoder.Decode(v)
	if errors.As(err, &strict) {
		return fmt.Errorf("unknown key %s", strings.Join(strict.Errors[0].Key(), "."))
	}
	return err
}
