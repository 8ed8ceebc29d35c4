// SPDX-License-Identifier: Apache-2.0

package embed

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/containerd/cgroups/v3"
	"github.com/containerd/cgroups/v3/cgroup1"
	"github.com/containerd/cgroups/v3/cgroup2"
	"github.com/containerd/containerd/v2/pkg/protobuf/types"
	"github.com/containerd/errdefs"
	"github.com/containerd/typeurl/v2"
	"github.com/moby/sys/mountinfo"
)

var errNoCgroup = fmt.Errorf("cgroup does not exist: %w", errdefs.ErrNotFound)

// Stats are the counters of the container's cgroup, also after its exit and after a restart.
func (t *Task) Stats(context.Context) (*types.Any, error) {
	text := t.c.task.Cgroups()
	if text == "" {
		return nil, errNoCgroup
	}
	stats, err := statCgroup(text)
	if err != nil {
		return nil, err
	}
	any, err := typeurl.MarshalAny(stats)
	if err != nil {
		return nil, err
	}
	return typeurl.MarshalProto(any), nil
}

// statCgroup reads the cgroup that a text of /proc/<pid>/cgroup names.
func statCgroup(text string) (any, error) {
	if cgroups.Mode() == cgroups.Unified {
		path, err := unifiedPath(text)
		if err != nil {
			return nil, err
		}
		cg, err := cgroup2.Load(path)
		if err != nil {
			return nil, err
		}
		return cg.Stat()
	}
	paths, _, err := cgroups.ParseCgroupFromReaderUnified(strings.NewReader(text))
	if err != nil {
		return nil, err
	}
	cg, err := cgroup1.Load(v1Path(paths))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", err, errdefs.ErrNotFound)
	}
	return cg.Stat(cgroup1.IgnoreNotExist)
}

func unifiedPath(text string) (string, error) {
	_, path, err := cgroups.ParseCgroupFromReaderUnified(strings.NewReader(text))
	if err != nil {
		return "", err
	}
	if path == "" {
		return "", errNoCgroup
	}
	return path, nil
}

// v1Path finds a controller's directory below its mount, which need not be that of the hierarchy's root when
// containerd is in a container itself.
func v1Path(paths map[string]string) cgroup1.Path {
	roots := map[string]string{}
	mounts, err := mountinfo.GetMounts(mountinfo.FSTypeFilter("cgroup"))
	if err == nil {
		for _, m := range mounts {
			for _, option := range strings.Split(m.VFSOptions, ",") {
				roots[option] = m.Root
			}
		}
	}
	return func(name cgroup1.Name) (string, error) {
		for _, controller := range []string{string(name), "name=" + string(name)} {
			path, ok := paths[controller]
			if !ok {
				continue
			}
			if root := roots[controller]; root != "" {
				if below, err := filepath.Rel(root, path); err == nil && !strings.HasPrefix(below, "..") {
					path = filepath.Join("/", below)
				}
			}
			return path, nil
		}
		return "", cgroup1.ErrControllerNotActive
	}
}
