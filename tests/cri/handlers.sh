# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# What is told of a handler, and which cgroup driver it uses.

# What kubelet asks before it gives a handler read-only mounts or user namespaces.
features() {
	fact "features" "$(crictl info | jq -cS --arg name "$handler" '.runtimeHandlers[] | select(.name == $name) | .features')"
	[ "$(crictl info | jq --arg name "$handler" '[.runtimeHandlers[] | select(.name == $name)] | length')" = 1 ] ||
		wrong "crictl info does not list the handler"
}

# Where systemd runs, the pod is in a slice; elsewhere it is refused.
systemd_cgroup() {
	local plain=$handler id slice

	case $handler in
	embed-options) handler=embed-systemd ;;
	*) handler+=-systemd ;;
	esac
	slice=$(jq -nc --arg slice "$cgroup.slice" '{linux: {cgroup_parent: $slice}}')
	if try_pod systemd "$slice"; then
		id=$(run_container systemd "$slice" sh -c 'cat /proc/self/cgroup; exit 3')
		expect "systemd cgroup" "Error 3" "$(exited "systemd cgroup, exit" "$id")"
		log_has "$id" "$cgroup.slice" || wrong "systemd cgroup: not in the slice: $(log_of "$id")"
		remove_pod
	else
		fact "systemd cgroup, refused" "$(said)"
		[ ! -d /run/systemd/system ] || wrong "systemd cgroup: $(said)"
	fi
	handler=$plain
}

# A pod with a user namespace. The table of options is one that containerd's client cannot add a user to.
user_namespace() {
	local id users='{"linux": {"security_context": {"namespace_options": {"pid": 1, "userns_options": {"mode": 0,
		"uids": [{"host_id": 200000, "container_id": 0, "length": 65536}],
		"gids": [{"host_id": 200000, "container_id": 0, "length": 65536}]}}}}}'

	if ! try_pod users "$users"; then
		fact "user namespace, pod refused" "$(said)"
		return
	fi
	id=$(create users "$users" sh -c 'cat /proc/self/uid_map; exit 3')
	if crictl start "$id" >/dev/null 2>"$scratch/err"; then
		fact "user namespace" "$(exited users "$id") $(log_of "$id" | tr -s ' ')"
	elif [ "$handler" = embed-options ]; then
		grep -qF "runtimeoptions.v1.Options" "$scratch/err" || wrong "user namespace: $(said)"
	else
		fact "user namespace, refused" "$(said | grep -oE 'idmap mounts not supported' || said)"
	fi
	remove_pod
}
