module github.com/embedshim/embedshim/go-binding

go 1.19

require github.com/containerd/errdefs v0.3.0
