# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Images without a registry: OCI layouts of one layer, made of a directory.

pause_image=localhost/embedshim/pause:1
busybox_image=localhost/embedshim/busybox:1

# blob LAYOUT FILE: moves the file to where its digest says, prints digest and size.
blob() {
	local digest
	digest=$(sha256sum "$2" | cut -d' ' -f1)
	mv "$2" "$1/blobs/sha256/$digest"
	stat -c "sha256:$digest %s" "$1/blobs/sha256/$digest"
}

# image NAME ROOTFS CONFIG: a tar for ctr images import. CONFIG is the JSON of the image's "config".
image() {
	local name=$1 rootfs=$2 config=$3 layout digest size layer_digest layer_size

	layout=$(mktemp -d "$scratch/image-XXXXXX")
	mkdir -p "$layout/blobs/sha256"
	tar -C "$rootfs" --numeric-owner --sort=name -cf "$layout/file" .
	read -r layer_digest layer_size < <(blob "$layout" "$layout/file")
	jq -n --argjson config "$config" --arg diff "$layer_digest" '{architecture: "amd64", os: "linux",
		config: $config, rootfs: {type: "layers", diff_ids: [$diff]}}' >"$layout/file"
	read -r digest size < <(blob "$layout" "$layout/file")
	jq -n --arg digest "$digest" --argjson size "$size" --arg layer_digest "$layer_digest" \
		--argjson layer_size "$layer_size" '{schemaVersion: 2,
		mediaType: "application/vnd.oci.image.manifest.v1+json",
		config: {mediaType: "application/vnd.oci.image.config.v1+json", digest: $digest, size: $size},
		layers: [{mediaType: "application/vnd.oci.image.layer.v1.tar", digest: $layer_digest,
			size: $layer_size}]}' >"$layout/file"
	read -r digest size < <(blob "$layout" "$layout/file")
	jq -n --arg name "$name" --arg digest "$digest" --argjson size "$size" '{schemaVersion: 2,
		manifests: [{mediaType: "application/vnd.oci.image.manifest.v1+json", digest: $digest,
			size: $size, annotations: {"io.containerd.image.name": $name}}]}' >"$layout/index.json"
	echo '{"imageLayoutVersion": "1.0.0"}' >"$layout/oci-layout"
	tar -C "$layout" -cf "$layout.tar" .
	rm -rf "$layout"
	echo "$layout.tar"
}

# test_rootfs DIRECTORY: the applets and the users that test programs expect. Each applet is a file: a test that
# hides one must not hide all.
test_rootfs() {
	mkdir -p "$1"/{bin,etc,tmp,root,home,var/run,proc,sys,dev}
	chmod 1777 "$1/tmp"
	cp "$(command -v busybox)" "$1/bin/busybox"
	"$1/bin/busybox" --list | grep -vx busybox | while read -r applet; do
		ln "$1/bin/busybox" "$1/bin/$applet"
	done
	# Those that Debian's busybox is without.
	cat >"$1/bin/pgrep" <<-'END'
		#!/bin/sh
		ps -o pid,comm | awk -v name="$1" '$2 == name { print $1; found = 1 } END { exit !found }'
	END
	printf '#!/bin/sh\ncat /proc/sysvipc/shm\n' >"$1/bin/ipcs"
	chmod 755 "$1/bin/pgrep" "$1/bin/ipcs"
	printf '%s\n' root:x:0:0:root:/root:/bin/sh daemon:x:1:1::/:/bin/false \
		nobody:x:65534:65534::/home:/bin/false >"$1/etc/passwd"
	printf '%s\n' root:x:0: daemon:x:1: nogroup:x:65534: >"$1/etc/group"
}

# make_images: the image of pods and that of containers, as archives in the array images.
make_images() {
	mkdir -p "$scratch/pause-rootfs"
	cp "$bin/pause" "$scratch/pause-rootfs/pause"
	test_rootfs "$scratch/busybox-rootfs"
	images=("$(image "$pause_image" "$scratch/pause-rootfs" '{"Entrypoint": ["/pause"]}')"
		"$(image "$busybox_image" "$scratch/busybox-rootfs" \
			'{"Cmd": ["sh"], "Env": ["PATH=/bin"]}')")
	rm -rf "$scratch/pause-rootfs" "$scratch/busybox-rootfs"
}
