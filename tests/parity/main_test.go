// SPDX-License-Identifier: Apache-2.0

package parity

import (
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/embedshim/embedshim/tests/parity/host"
)

// world is what all scenarios share.
var world struct {
	dir    string // everything on disk is below it
	rootfs string // busybox and the probe, for containers without rootfs mounts
	runc   string
	cgroup string // the parent of every container's cgroup, a path in the hierarchies
	daemon *host.Daemon
	// sides are the two runtimes that are compared. With selfTest both are stock: no difference at all
	// may be left then.
	sides    [2]sideKind
	selfTest bool
}

// sideKind is one of the two columns of the comparison.
type sideKind struct {
	name, runtime, namespace string
}

func (k sideKind) ours() bool { return k.runtime == host.Embed }

func TestMain(m *testing.M) {
	os.Exit(mainStatus(m))
}

func mainStatus(m *testing.M) int {
	if err := setUp(); err != nil {
		fmt.Fprintln(os.Stderr, "parity:", err)
		cleanUp()
		return 1
	}
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	go func() {
		<-stop
		cleanUp()
		os.Exit(1)
	}()
	status := m.Run()
	if status != 0 {
		fmt.Println(world.daemon.LogTail(60))
	}
	for _, left := range cleanUp() {
		fmt.Println("parity: left behind:", left)
		status = 1
	}
	return status
}

func setUp() error {
	if os.Getuid() != 0 {
		return fmt.Errorf("must be run as root: containers are started")
	}
	if os.Getenv("ES_CONTAINERD") == "" || os.Getenv("ES_STOCK_BIN") == "" || os.Getenv("ES_PROBE") == "" {
		return fmt.Errorf("ES_CONTAINERD, ES_STOCK_BIN and ES_PROBE are not set; start this with tests/parity/run")
	}
	unique := fmt.Sprint(os.Getpid())
	world.sides = [2]sideKind{{name: "stock", runtime: host.Stock}, {name: "embed", runtime: host.Embed}}
	if world.selfTest = os.Getenv("ES_PARITY_STOCK") != ""; world.selfTest {
		world.sides[1] = sideKind{name: "again", runtime: host.Stock}
	}
	for i := range world.sides {
		// As long as containerd allows.
		world.sides[i].namespace = longName(world.sides[i].name+unique, 76)
	}
	world.cgroup = "/parity-" + unique
	var err error
	if world.runc, err = exec.LookPath("runc"); err != nil {
		return err
	}
	if world.dir, err = os.MkdirTemp("", "parity-"); err != nil {
		return err
	}
	if err := os.Chmod(world.dir, 0o711); err != nil {
		return err
	}
	world.rootfs = filepath.Join(world.dir, "rootfs")
	if err := makeRootfs(world.rootfs); err != nil {
		return err
	}
	world.daemon = host.NewDaemon(world.dir, world.dir)
	// A runtime that passes it on would let containers speak for the daemon.
	world.daemon.Env = []string{"NOTIFY_SOCKET=" + filepath.Join(world.dir, "notify")}
	world.daemon.Run = startCommand
	if err := reapOrphans(); err != nil {
		return err
	}
	if err := world.daemon.Start(); err != nil {
		return err
	}
	return subscribeAll()
}

// makeRootfs makes a root file system with busybox and the probe.
func makeRootfs(dir string) error {
	for _, sub := range []string{"bin", "proc", "sys", "dev", "tmp", "run", "etc", "host"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o755); err != nil {
			return err
		}
	}
	busybox, err := exec.LookPath("busybox")
	if err != nil {
		return err
	}
	if err := host.CopyProgram(filepath.Join(dir, "bin/busybox"), busybox); err != nil {
		return err
	}
	for _, applet := range strings.Fields("sh cat echo sleep true false id stty tty head wc mkdir ls kill dd") {
		if err := os.Symlink("busybox", filepath.Join(dir, "bin", applet)); err != nil {
			return err
		}
	}
	passwd := "root:x:0:0:root:/:/bin/sh\nuser:x:1000:1000::/:/bin/sh\n"
	if err := os.WriteFile(filepath.Join(dir, "etc/passwd"), []byte(passwd), 0o644); err != nil {
		return err
	}
	return host.CopyProgram(filepath.Join(dir, "bin/probe"), os.Getenv("ES_PROBE"))
}
