# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# An embedshim-containerd on directories and a socket of its own, for scripts that source this.
#
#   containerd_tools BUILD_DIR          build ctr, and containerd's shim, beside the daemon: once
#   containerd_configure DIR            what the daemon in DIR is like
#   containerd_start                    and wait until it serves; $containerd_pid
#   containerd_kill [SIGNAL]            and wait until it has gone (default: KILL)
#   containerd_remove                   end and remove everything, also after a failure
#   containerd_settings DIR [LINE...]   print what each configuration in DIR begins with, the lines at the top level
#   mounts_below DIR                    print the mount points below it, the innermost first
#
# ctr runs as usual: CONTAINERD_ADDRESS and PATH are set.

# shellcheck disable=SC2034 # for those who source this
embed=io.containerd.runtime.v1.embed
containerd_dir='' containerd_pid=''

containerd_tools() {
	local build=$1 source tool go
	source=$(realpath "$(dirname "${BASH_SOURCE[0]}")/../..")
	for tool in ctr containerd-shim-runc-v2; do
		[ -x "$build/bin/$tool" ] || "$source/go-binding/build" "$build" "$source/go-binding/containerd" \
			"$build/bin/$tool" "github.com/containerd/containerd/v2/cmd/$tool" || return
	done
	export PATH=$build/bin:$PATH
}

containerd_configure() {
	containerd_dir=$1
	export CONTAINERD_ADDRESS=$containerd_dir/containerd.sock CONTAINERD_SUPPRESS_DEPRECATION_WARNINGS=1
	mkdir -p "$containerd_dir"
	{
		containerd_settings "$containerd_dir" "required_plugins = [\"$embed\"]" \
			'disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.cri.v1.runtime", "io.containerd.cri.v1.images"]'
		printf '[plugins."%s"]\n  root = "%s"\n' "$embed" "$containerd_dir/runc"
	} >"$containerd_dir/config.toml"
}

containerd_settings() {
	local dir=$1
	shift
	printf '%s\n' 'version = 4' "root = \"$dir/root\"" "state = \"$dir/state\"" 'imports = []' "$@"
	cat <<-END
		[plugins."io.containerd.server.v1.grpc"]
		  address = "$dir/containerd.sock"
		[plugins."io.containerd.server.v1.ttrpc"]
		  address = "$dir/containerd.sock.ttrpc"
		[plugins."io.containerd.nri.v1.nri"]
		  disable = true
	END
}

containerd_start() {
	setsid embedshim-containerd --config "$containerd_dir/config.toml" >>"$containerd_dir/log" 2>&1 </dev/null &
	containerd_pid=$!
	disown "$containerd_pid"
	for _ in $(seq 300); do
		! ctr version >/dev/null 2>&1 || return 0
		kill -0 "$containerd_pid" 2>/dev/null || break
		sleep 0.1
	done
	tail -n 20 "$containerd_dir/log" >&2
	return 1
}

containerd_kill() {
	[ -n "$containerd_pid" ] || return 0
	kill "-${1:-KILL}" "$containerd_pid" 2>/dev/null || true
	while kill -0 "$containerd_pid" 2>/dev/null; do sleep 0.02; done
	containerd_pid=''
}

containerd_remove() {
	local id mount
	[ -n "$containerd_dir" ] || return 0
	if [ -n "$containerd_pid" ] || containerd_start 2>/dev/null; then
		for id in $(ctr containers ls -q 2>/dev/null); do
			ctr tasks rm --force "$id" >/dev/null 2>&1 || true
			ctr containers rm "$id" >/dev/null 2>&1 || true
		done
	fi
	containerd_kill TERM
	# What could not be deleted properly. Nothing is mounted there after a normal end.
	mounts_below "$containerd_dir" | while read -r mount; do umount "$mount" 2>/dev/null || true; done
	rm -rf --one-file-system "$containerd_dir"
	containerd_dir=''
}

mounts_below() {
	awk -v under="$1/" 'index($5, under) == 1 { print $5 }' /proc/self/mountinfo | sort -r
}

# A root file system of busybox: busybox_rootfs DIR
busybox_rootfs() {
	local applet
	mkdir -p "$1"/{bin,proc,dev,tmp,sys}
	cp "$(command -v busybox)" "$1/bin/busybox"
	for applet in sh sleep cat echo true date stty ls; do ln -sf busybox "$1/bin/$applet"; done
}
