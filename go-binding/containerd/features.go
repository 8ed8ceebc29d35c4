// SPDX-License-Identifier: Apache-2.0

package embed

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"sync"
	"time"

	apitypes "github.com/containerd/containerd/api/types"
	"github.com/containerd/containerd/v2/version"
	"github.com/containerd/errdefs"
	"github.com/containerd/log"
	"github.com/containerd/typeurl/v2"
	"github.com/opencontainers/runtime-spec/specs-go"
	ocifeatures "github.com/opencontainers/runtime-spec/specs-go/features"
	"google.golang.org/protobuf/types/known/anypb"
)

// featuresWait bounds `runc features`.
const featuresWait = 10 * time.Second

// features keeps what OCI runtimes say of themselves, as long as their program stays the same.
type features struct {
	mu    sync.Mutex
	known map[string]knownFeatures
}

type knownFeatures struct {
	size     int64
	modified time.Time
	features *ocifeatures.Features // nil: it does not say
}

// of are the features of a runtime by its name or path; nil if it does not tell them.
func (f *features) of(ctx context.Context, binary string) (*ocifeatures.Features, error) {
	if binary == "" {
		binary = "runc"
	}
	path, err := exec.LookPath(binary)
	if err != nil {
		return nil, fmt.Errorf("OCI runtime %q: %w", binary, err)
	}
	st, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	f.mu.Lock()
	known, ok := f.known[path]
	f.mu.Unlock()
	if ok && known.size == st.Size() && known.modified.Equal(st.ModTime()) {
		return known.features, nil
	}
	known = knownFeatures{size: st.Size(), modified: st.ModTime()}
	if known.features, err = askFeatures(ctx, path); err != nil {
		// Not every runtime has the command.
		log.G(ctx).WithError(err).Debugf("%s does not tell its features", path)
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.known == nil {
		f.known = make(map[string]knownFeatures)
	}
	f.known[path] = known
	return known.features, nil
}

func askFeatures(ctx context.Context, path string) (*ocifeatures.Features, error) {
	var stderr bytes.Buffer

	ctx, cancel := context.WithTimeout(ctx, featuresWait)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, "features")
	cmd.Stderr = &stderr
	stdout, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%w: %s", err, bytes.TrimSpace(stderr.Bytes()))
	}
	answer := &ocifeatures.Features{}
	if err := json.Unmarshal(stdout, answer); err != nil {
		return nil, err
	}
	return answer, nil
}

func usesIDMappedMounts(spec *specs.Spec) bool {
	return slices.ContainsFunc(spec.Mounts, func(m specs.Mount) bool {
		return m.UIDMappings != nil || m.GIDMappings != nil ||
			slices.Contains(m.Options, "idmap") || slices.Contains(m.Options, "ridmap")
	})
}

// checkIDMappedMounts refuses them when the runtime says that it cannot: it would leave the mapping away and
// the container with files of the wrong owner.
func (f *features) checkIDMappedMounts(ctx context.Context, binary string, spec *specs.Spec) error {
	if !usesIDMappedMounts(spec) {
		return nil
	}
	answer, err := f.of(ctx, binary)
	if err != nil || answer == nil {
		return err
	}
	linux := answer.Linux
	if linux == nil || linux.MountExtensions == nil || linux.MountExtensions.IDMap == nil ||
		linux.MountExtensions.IDMap.Enabled == nil || !*linux.MountExtensions.IDMap.Enabled {
		return errors.New("idmap mounts not supported: the OCI runtime does not list mountExtensions.idmap in its features")
	}
	return nil
}

// pluginInfo is what containerd's introspection service and CRI ask for.
func (r *Runtime) pluginInfo(ctx context.Context, request *apitypes.RuntimeRequest) (*apitypes.RuntimeInfo, error) {
	info := &apitypes.RuntimeInfo{
		Name:    Name,
		Version: &apitypes.RuntimeVersion{Version: version.Version, Revision: version.Revision},
	}
	o := r.defaults
	if request.Options != nil {
		given, err := decodeOptions(request.Options)
		if err != nil {
			return nil, err
		}
		o.merge(given)
		info.Options = request.Options
	}
	answer, err := r.features.of(ctx, o.BinaryName)
	if err != nil {
		if errors.Is(err, exec.ErrNotFound) {
			return nil, fmt.Errorf("%w: %w", err, errdefs.ErrNotFound)
		}
		return nil, err
	}
	if answer != nil {
		any, err := typeurl.MarshalAny(answer)
		if err != nil {
			return nil, err
		}
		info.Features = &anypb.Any{TypeUrl: any.GetTypeUrl(), Value: any.GetValue()}
	}
	return info, nil
}
