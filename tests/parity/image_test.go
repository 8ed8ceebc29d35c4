// SPDX-License-Identifier: Apache-2.0

package parity

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"sync"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/pkg/cio"
	"github.com/containerd/containerd/v2/pkg/oci"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// layoutOf is the tar archive of an OCI image with one layer.
func layoutOf(layer []byte) ([]byte, error) {
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	add := func(name string, data []byte) error {
		header := &tar.Header{Name: name, Mode: 0o644, Size: int64(len(data))}
		if err := w.WriteHeader(header); err != nil {
			return err
		}
		_, err := w.Write(data)
		return err
	}
	blob := func(kind string, v any) (ocispec.Descriptor, error) {
		data, ok := v.([]byte)
		if !ok {
			var err error
			if data, err = json.Marshal(v); err != nil {
				return ocispec.Descriptor{}, err
			}
		}
		d := digest.FromBytes(data)
		return ocispec.Descriptor{MediaType: kind, Digest: d, Size: int64(len(data))},
			add("blobs/sha256/"+d.Encoded(), data)
	}
	version := specs.Versioned{SchemaVersion: 2}
	layerBlob, err := blob(ocispec.MediaTypeImageLayer, layer)
	if err != nil {
		return nil, err
	}
	config, err := blob(ocispec.MediaTypeImageConfig, ocispec.Image{
		Platform: ocispec.Platform{Architecture: "amd64", OS: "linux"},
		Config:   ocispec.ImageConfig{Env: []string{"PATH=/bin"}, Cmd: []string{"sh"}},
		RootFS:   ocispec.RootFS{Type: "layers", DiffIDs: []digest.Digest{layerBlob.Digest}},
	})
	if err != nil {
		return nil, err
	}
	manifest, err := blob(ocispec.MediaTypeImageManifest, ocispec.Manifest{
		Versioned: version,
		MediaType: ocispec.MediaTypeImageManifest,
		Config:    config,
		Layers:    []ocispec.Descriptor{layerBlob},
	})
	if err != nil {
		return nil, err
	}
	manifest.Annotations = map[string]string{"io.containerd.image.name": "parity.test/busybox:1"}
	index, err := json.Marshal(ocispec.Index{Versioned: version, Manifests: []ocispec.Descriptor{manifest}})
	if err != nil {
		return nil, err
	}
	if err := add("index.json", index); err != nil {
		return nil, err
	}
	if err := add("oci-layout", []byte(`{"imageLayoutVersion":"1.0.0"}`)); err != nil {
		return nil, err
	}
	return out.Bytes(), w.Close()
}

// imageScenario goes the way of containerd's clients: image, snapshot, container, task.
func (s *side) imageScenario() {
	archive, err := ociImage()
	if err != nil {
		s.Fatal(err)
	}
	ctx, cancel := s.call()
	defer cancel()
	if _, err := s.client().Import(ctx, bytes.NewReader(archive)); err != nil {
		s.Fatal(err)
	}
	image, err := s.client().GetImage(ctx, "parity.test/busybox:1")
	if err != nil {
		s.Fatal(err)
	}
	if err := image.Unpack(ctx, "overlayfs"); err != nil {
		s.Fatal(err)
	}
	id := s.scenario + "-client"
	made, err := s.client().NewContainer(ctx, id,
		containerd.WithRuntime(s.runtime, nil),
		containerd.WithSnapshotter("overlayfs"),
		containerd.WithNewSnapshot(id, image),
		containerd.WithNewSpec(oci.WithImageConfigArgs(image, sh("echo from an image; exit 12")),
			oci.WithCgroup(world.cgroup+"/"+s.namespace+"/"+id)))
	if err != nil {
		s.Fatal(err)
	}
	defer func() { _ = made.Delete(s.ctx, containerd.WithSnapshotCleanup) }()
	var out, errs bytes.Buffer
	task, err := made.NewTask(ctx, cio.NewCreator(cio.WithStreams(nil, &out, &errs), cio.WithFIFODir(s.dir)))
	if err != nil {
		s.outcome("new task", err)
		return
	}
	exits, err := task.Wait(ctx)
	if err != nil {
		s.Fatal(err)
	}
	s.outcome("start", task.Start(ctx))
	exit := <-exits
	s.say("exit: %d %v", exit.ExitCode(), exit.Error())
	status, err := task.Status(ctx)
	s.say("status: %v %d %v", status.Status, status.ExitStatus, err)
	deleted, err := task.Delete(ctx)
	if s.outcome("delete", err) {
		s.say("deleted: %d", deleted.ExitCode())
	}
	s.say("output: %q %q", out.String(), errs.String())
	_, err = made.Task(ctx, nil)
	s.say("task: %v", fmt.Sprint(err))
}

// pipe is a client's standard input, and says when it has ended.
type pipe struct {
	io.Reader
	ended chan struct{}
	end   sync.Once
}

func (p *pipe) Read(text []byte) (int, error) {
	n, err := p.Reader.Read(text)
	if err == io.EOF {
		p.end.Do(func() { close(p.ended) })
	}
	return n, err
}

// pipedStdin runs a program that reads what the client has long had at hand: the client is at the end of it
// before it has the task that it must tell.
func (s *side) pipedStdin() {
	c := s.container(want{args: sh("cat; exit 4")})
	ctx, cancel := s.call()
	defer cancel()
	made, err := s.client().LoadContainer(ctx, c.id)
	if err != nil {
		s.Fatal(err)
	}
	in := &pipe{Reader: strings.NewReader("word\n"), ended: make(chan struct{})}
	var out, errs bytes.Buffer
	task, err := made.NewTask(ctx, cio.NewCreator(cio.WithStreams(in, &out, &errs), cio.WithFIFODir(s.dir)))
	if err != nil {
		s.outcome("new task", err)
		return
	}
	s.normal.know(task.Pid(), c.name())
	exits, err := task.Wait(ctx)
	if err != nil {
		s.Fatal(err)
	}
	s.outcome("start", task.Start(ctx))
	<-in.ended
	s.outcome("close stdin", task.CloseIO(ctx, containerd.WithStdinCloser))
	exit := <-exits
	s.say("exit: %d %v", exit.ExitCode(), exit.Error())
	_, err = task.Delete(ctx, containerd.WithProcessKill)
	s.outcome("delete", err)
	s.say("output: %q %q", out.String(), errs.String())
}
