// SPDX-License-Identifier: Apache-2.0

package embed

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/containerd/containerd/v2/core/events"
	"github.com/containerd/containerd/v2/core/metadata"
	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/plugins"
	"github.com/containerd/errdefs"
	"github.com/containerd/log"
	"github.com/containerd/platforms"
	"github.com/containerd/plugin"
	"github.com/containerd/plugin/registry"
	embedshim "github.com/embedshim/embedshim/go-binding"
	imagespec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/pelletier/go-toml/v2"
	"golang.org/x/sys/unix"
)

const (
	pluginID = "embed"
	// runtimeRoot is where containerd's shim has the state of its OCI runtime, each namespace below.
	runtimeRoot = "/run/containerd/runc"
	hostBPFFS   = "/sys/fs/bpf"
)

// Config is the section [plugins."io.containerd.runtime.v1.embed"] of containerd's configuration. What a
// container's or a task's options set goes before it.
type Config struct {
	// BinaryName is the OCI runtime: a name or a path.
	BinaryName string `toml:"binary_name"`
	// Root is the parent of the OCI runtime's state directories, one for each namespace.
	Root          string `toml:"root"`
	SystemdCgroup bool   `toml:"systemd_cgroup"`
	NoPivotRoot   bool   `toml:"no_pivot_root"`
	NoNewKeyring  bool   `toml:"no_new_keyring"`
	// IoUid and IoGid own the pipes that containers are given.
	IoUid uint32 `toml:"io_uid"` //nolint:revive // as in containerd
	IoGid uint32 `toml:"io_gid"`

	// Capacity is the most processes, of containers and of execs, at a time.
	Capacity uint32 `toml:"capacity"`
	// RuntimeTimeout is how long one command of the OCI runtime may take.
	RuntimeTimeout string `toml:"runtime_timeout"`
	// BPFDir is a directory on a bpffs to pin in. Empty: the host's if it is mounted at /sys/fs/bpf, otherwise
	// one that is mounted below the plugin's root directory while there is a task.
	BPFDir string `toml:"bpf_dir"`
	// RequirePersistent refuses to start where exits are recorded only as long as containerd runs.
	RequirePersistent bool `toml:"require_persistent"`
	// IOHelper is the program that keeps a terminal or a standard input. Empty: the installed one.
	IOHelper string `toml:"io_helper"`
}

func defaultConfig() Config {
	return Config{
		BinaryName:     "runc",
		Root:           runtimeRoot,
		Capacity:       10000,
		RuntimeTimeout: "2m",
	}
}

// defaultSection are the defaults as the table that the configuration file has. The section is taken as a table
// so that a key that does not exist is an error: containerd itself only warns of it.
func defaultSection() *map[string]any {
	section := map[string]any{}
	text, err := toml.Marshal(defaultConfig())
	if err == nil {
		err = toml.Unmarshal(text, &section)
	}
	if err != nil {
		panic(err) // of constants
	}
	return &section
}

func decodeConfig(section map[string]any) (Config, error) {
	config := defaultConfig()
	text, err := toml.Marshal(section)
	if err != nil {
		return config, err
	}
	if err := decodeStrictly(text, &config); err != nil {
		return config, fmt.Errorf("[plugins.%q]: %w", Name, err)
	}
	return config, nil
}

func (c *Config) options() options {
	return options{
		BinaryName:    c.BinaryName,
		Root:          c.Root,
		SystemdCgroup: c.SystemdCgroup,
		NoPivotRoot:   c.NoPivotRoot,
		NoNewKeyring:  c.NoNewKeyring,
		IoUid:         c.IoUid,
		IoGid:         c.IoGid,
	}
}

func init() {
	registry.Register(&plugin.Registration{
		Type: plugins.RuntimePlugin,
		ID:   pluginID,
		Requires: []plugin.Type{
			plugins.EventPlugin,
			plugins.MetadataPlugin,
			plugins.MountManagerPlugin,
		},
		Config: defaultSection(),
		InitFn: initialize,
	})
}

func initialize(ic *plugin.InitContext) (any, error) {
	begin := time.Now()
	ic.Meta.Platforms = []imagespec.Platform{platforms.DefaultSpec()}
	config, err := decodeConfig(*ic.Config.(*map[string]any))
	if err != nil {
		return nil, err
	}
	timeout, err := time.ParseDuration(config.RuntimeTimeout)
	if err != nil || timeout <= 0 {
		return nil, fmt.Errorf("[plugins.%q]: runtime_timeout %q is no duration", Name, config.RuntimeTimeout)
	}
	publisher, err := ic.GetSingle(plugins.EventPlugin)
	if err != nil {
		return nil, err
	}
	db, err := ic.GetSingle(plugins.MetadataPlugin)
	if err != nil {
		return nil, err
	}
	var mounts mount.Manager
	if instance, err := ic.GetSingle(plugins.MountManagerPlugin); err == nil {
		mounts = instance.(mount.Manager)
	} else if !errors.Is(err, plugin.ErrPluginNotFound) {
		return nil, err
	}
	embedshim.SetLog(logLine)
	r := newRuntime(publisher.(events.Publisher), mounts, config.options())
	root := ic.Properties[plugins.PropertyRootDir]
	err = r.open(embedshim.ManagerOptions{
		RootDir:           root,
		StateDir:          ic.Properties[plugins.PropertyStateDir],
		BPFDir:            chooseBPFDir(config.BPFDir, root),
		Runtime:           config.BinaryName,
		RuntimeRoot:       config.Root,
		Capacity:          config.Capacity,
		RuntimeTimeout:    timeout,
		RequirePersistent: config.RequirePersistent,
		IOHelper:          chooseIOHelper(config.IOHelper),
	})
	if cannotRunHere(err) {
		return nil, fmt.Errorf("%w: %w", err, plugin.ErrSkipPlugin)
	}
	if err != nil {
		return nil, err
	}
	if warning := r.manager.Warning(); warning != "" {
		log.G(ic.Context).WithField("plugin", Name).Warn(warning)
	}
	log.G(ic.Context).WithFields(log.Fields{
		"plugin": Name, "tasks": len(r.containers), "took": time.Since(begin),
	}).Info("tasks of before the start are known")
	containers := metadata.NewContainerStore(db.(*metadata.DB))
	r.forgetOrphans(func(ctx context.Context, id string) error {
		_, err := containers.Get(ctx, id)
		return err
	})
	go r.waitForServing(ic.Properties[plugins.PropertyGRPCAddress])
	return r, nil
}

// cannotRunHere: the kernel or the privileges lack what is needed. Anything else is a failure.
func cannotRunHere(err error) bool {
	return errors.Is(err, syscall.EOPNOTSUPP) || errors.Is(err, syscall.EPERM) || errdefs.IsNotImplemented(err)
}

func isBPFFS(path string) bool {
	var st unix.Statfs_t

	return unix.Statfs(path, &st) == nil && st.Type == unix.BPF_FS_MAGIC
}

// chooseBPFDir prefers the host's bpffs, so that nothing stays mounted below containerd's directories, unless
// the pins are there already.
func chooseBPFDir(configured, root string) string {
	if configured != "" || isBPFFS(filepath.Join(root, "bpf")) || !isBPFFS(hostBPFFS) {
		return configured
	}
	return hostBPFFS
}

// chooseIOHelper finds the program that belongs to this one, wherever both were put. Empty: where the library was
// configured to have it.
func chooseIOHelper(configured string) string {
	if configured != "" {
		return configured
	}
	self, err := os.Executable()
	if err != nil {
		return ""
	}
	// Installed, and in the build tree.
	for _, below := range []string{"libexec/embedshim", "lib"} {
		path := filepath.Join(filepath.Dir(self), "..", below, "embedshim-io")
		if _, err := os.Stat(path); err == nil {
			return path
		}
	}
	return ""
}

func logLine(level embedshim.LogLevel, message string) {
	entry := log.L.WithField("plugin", Name)
	switch level {
	case embedshim.LogError:
		entry.Error(message)
	case embedshim.LogWarning:
		entry.Warn(message)
	case embedshim.LogInfo:
		entry.Info(message)
	default:
		entry.Debug(message)
	}
}
