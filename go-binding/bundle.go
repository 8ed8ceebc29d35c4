// SPDX-License-Identifier: Apache-2.0

package embedshim

// #include <embedshim/embedshim.h>
// #include <stdlib.h>
import "C"

import "unsafe"

// BundleStore keeps the bundles of a pair of directories.
type BundleStore struct {
	handle
	c *C.struct_es_bundle_store
	// The manager that owns c; nil if the store is our own.
	owner *Manager
}

// OpenBundleStore is es_bundle_store_open.
func OpenBundleStore(rootDir, stateDir string) (*BundleStore, error) {
	s := &BundleStore{}
	text := newErrorText()
	defer text.free()
	root, state := C.CString(rootDir), C.CString(stateDir)
	defer cFree(root)
	defer cFree(state)
	if r := C.es_bundle_store_open(root, state, text.c, &s.c); r < 0 {
		return nil, newError("open bundle store", r, text.c)
	}
	return s, nil
}

// Bundles is es_manager_bundles. The store lives as long as the manager.
func (m *Manager) Bundles() *BundleStore {
	return &BundleStore{owner: m}
}

// use runs fn with the C store, which exists until fn returns.
func (s *BundleStore) use(fn func(*C.struct_es_bundle_store) error) error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.leave()
	if s.owner == nil {
		return fn(s.c)
	}
	if err := s.owner.enter(); err != nil {
		return err
	}
	defer s.owner.leave()
	return fn(C.es_manager_bundles(s.owner.c))
}

// Close is es_bundle_store_free. Bundles stay usable.
func (s *BundleStore) Close() error {
	s.close(func() {
		C.es_bundle_store_free(s.c)
		s.c = nil
	})
	return nil
}

// Bundle is one bundle of a store.
type Bundle struct {
	handle
	c                    *C.struct_es_bundle
	dir, rootfs, workDir string
}

func newBundle(c *C.struct_es_bundle) *Bundle {
	return &Bundle{
		c:       c,
		dir:     C.GoString(C.es_bundle_dir(c)),
		rootfs:  C.GoString(C.es_bundle_rootfs(c)),
		workDir: C.GoString(C.es_bundle_work_dir(c)),
	}
}

// Create is es_bundle_create. group is the host GID of a remapped root, 0 for none.
func (s *BundleStore) Create(namespace, id string, spec []byte, group uint32) (*Bundle, error) {
	var (
		opts C.struct_es_bundle_opts
		c    *C.struct_es_bundle
	)
	text := newErrorText()
	defer text.free()
	ns, cid := C.CString(namespace), C.CString(id)
	defer cFree(ns)
	defer cFree(cid)
	opts.size = C.size_t(unsafe.Sizeof(opts))
	opts.group = C.uint32_t(group)
	opts.error = text.c
	if len(spec) > 0 {
		text := C.CBytes(spec)
		defer C.free(text)
		opts.spec = (*C.char)(text)
		opts.spec_size = C.size_t(len(spec))
	}
	err := s.use(func(store *C.struct_es_bundle_store) error {
		return newError("create bundle", C.es_bundle_create(store, ns, cid, &opts, &c), text.c)
	})
	if err != nil {
		return nil, err
	}
	return newBundle(c), nil
}

// Open is es_bundle_open.
func (s *BundleStore) Open(namespace, id string) (*Bundle, error) {
	var c *C.struct_es_bundle

	ns, cid := C.CString(namespace), C.CString(id)
	defer cFree(ns)
	defer cFree(cid)
	err := s.use(func(store *C.struct_es_bundle_store) error {
		return newError("open bundle", C.es_bundle_open(store, ns, cid, &c), nil)
	})
	if err != nil {
		return nil, err
	}
	return newBundle(c), nil
}

// Dir is es_bundle_dir.
func (b *Bundle) Dir() string { return b.dir }

// Rootfs is es_bundle_rootfs.
func (b *Bundle) Rootfs() string { return b.rootfs }

// WorkDir is es_bundle_work_dir.
func (b *Bundle) WorkDir() string { return b.workDir }

// Valid is es_bundle_is_valid.
func (b *Bundle) Valid() (bool, error) {
	if err := b.enter(); err != nil {
		return false, err
	}
	defer b.leave()
	r := C.es_bundle_is_valid(b.c)
	return r > 0, newError("bundle "+b.dir, r, nil)
}

// Unmount is es_bundle_unmount: the number of mounts removed.
func (b *Bundle) Unmount() (int, error) {
	if err := b.enter(); err != nil {
		return 0, err
	}
	defer b.leave()
	text := newErrorText()
	defer text.free()
	r := C.es_bundle_unmount(b.c, text.c)
	if r < 0 {
		return 0, newError("unmount bundle", r, text.c)
	}
	return int(r), nil
}

// Remove is es_bundle_remove. The handle stays and must be closed.
func (b *Bundle) Remove() error {
	if err := b.enter(); err != nil {
		return err
	}
	defer b.leave()
	text := newErrorText()
	defer text.free()
	return newError("remove bundle", C.es_bundle_remove(b.c, text.c), text.c)
}

// Close is es_bundle_free. Nothing on disk changes.
func (b *Bundle) Close() error {
	b.close(func() {
		C.es_bundle_free(b.c)
		b.c = nil
	})
	return nil
}
