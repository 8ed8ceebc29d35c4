# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Checkpoint through CRI, and a container restored from it.

checkpoint() {
	local id restored lines code=0 archive=$scratch/checkpoint-$handler.tar

	pod checkpoint
	# The count goes on where it was, in the memory of the process.
	# shellcheck disable=SC2016 # the container's shell
	id=$(run_container counter '{}' sh -c 'n=0; while :; do n=$((n + 1)); echo "count $n"; sleep 0.1; done')
	wait_log "$id" "count 5"
	crictl checkpoint --export "$archive" "$id" >/dev/null 2>"$scratch/err" || code=$?
	fact "checkpoint" "$code $(said)"
	if [ $code = 0 ]; then
		# criu's log and statistics are in it only where containerd knows the name of the runtime.
		fact "checkpoint, files" "$(tar -tf "$archive" | grep -vE '\.img$|^(dump.log|stats-dump)$|embedshim-streams' |
			sort | tr '\n' ' ')"
		expect "checkpoint, still running" CONTAINER_RUNNING "$(status "$id" .state)"
		crictl rm -f "$id" >/dev/null
		restored=$(restore "$archive") || die "restore: $(said)"
		# The log is taken along, and goes on.
		lines=$(log_of "$restored" | wc -l)
		until_true 30 goes_on "$restored" "$lines" || wrong "restored: it says nothing: $(log_of "$restored")"
		log_of "$restored" | sed 's/.*count //' | sort -nc || wrong "restored: it begins again"
		crictl stop --timeout 1 "$restored" >/dev/null
		expect "restored, stop" "Error 137" "$(exited restored "$restored")"
	else
		# criu says why in its log, and only there.
		find "$scratch/state" "$scratch/root" -name '*dump.log' -exec grep -h Error {} + || true
	fi
	remove_pod
}

# goes_on ID LINES: its log has more of them.
goes_on() {
	[ "$(log_of "$1" | wc -l)" -gt "$2" ]
}

# restore ARCHIVE: create from an archive in place of an image, and start.
restore() {
	local id
	jq -n --arg image "$1" '{metadata: {name: "counter", attempt: 2}, image: {image: $image},
		log_path: "restored.log", linux: {}}' >"$scratch/container.json"
	id=$(crictl create "$pod" "$scratch/container.json" "$scratch/pod.json" 2>"$scratch/err")
	crictl start "$id" >/dev/null 2>"$scratch/err"
	echo "$id"
}
