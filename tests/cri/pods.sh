# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Pods and containers by crictl, and what a test says about them.

# The running test's: its handler, its pod and where it writes what it saw.
handler=''
pod=''
facts=/dev/null
failures=0

die() {
	echo "FAILED: ${handler:+$handler: }$*" >&2
	exit 1
}

# until_true SECONDS COMMAND...: a bound for what has to happen soon, not a measurement.
until_true() {
	local deadline=$((SECONDS + $1))
	shift
	until "$@"; do
		[ $SECONDS -lt $deadline ] || return 1
		sleep 0.1
	done
}

# fact NAME VALUE: what every handler has to show alike. IDs and places are taken out, and that the stock
# runtime has a shim.
fact() {
	printf '%s: %s\n' "$1" "$(sed -E -e "s,$scratch,SCRATCH,g" -e 's/[0-9a-f]{64}/ID/g' -e "s/$cgroup/CGROUP/g" \
		-e 's/io\.containerd\.runtime\.(v2\.task|v1\.embed)/RUNTIME/g' \
		-e 's/failed to create shim task: //g' <<<"$2")" >>"$facts"
}

# expect NAME WANTED GOT: the same for every handler, and known. The test goes on, and fails at its end.
expect() {
	fact "$1" "$3"
	same "$@"
}

# same NAME WANTED GOT: as expect, for what differs between handlers or between runs.
same() {
	[ "$3" = "$2" ] || wrong "$1: $3, not $2"
}

wrong() {
	echo "FAILED: ${handler:+$handler: }$*" >&2
	failures=$((failures + 1))
}

# pod NAME [JSON]: run a pod sandbox with this over the usual configuration.
pod() {
	try_pod "$@" || die "runp: $(said)"
}

try_pod() {
	mkdir -p "$scratch/logs/$handler-$1"
	jq -n --arg name "$1" --arg uid "$handler-$1-$SECONDS" --arg parent "/$cgroup" \
		--arg logs "$scratch/logs/$handler-$1" --argjson over "${2-null}" '{
		metadata: {name: $name, uid: $uid, namespace: "default", attempt: 1}, hostname: $name,
		log_directory: $logs, linux: {cgroup_parent: $parent, security_context: {
			namespace_options: {pid: 1}}}} * ($over // {})' >"$scratch/pod.json"
	pod=$(crictl runp --runtime "$handler" "$scratch/pod.json" 2>"$scratch/err")
}

# create NAME JSON COMMAND...: a container of the pod; prints its ID.
create() {
	local name=$1 over=$2
	shift 2
	jq -n --arg name "$name" --arg image "$busybox_image" --argjson over "$over" '{
		metadata: {name: $name, attempt: 1}, image: {image: $image}, command: $ARGS.positional,
		log_path: ($name + ".log"), linux: {security_context: {namespace_options: {pid: 1}}}}
		* $over' --args -- "$@" >"$scratch/container.json"
	crictl create "$pod" "$scratch/container.json" "$scratch/pod.json"
}

# run_container NAME JSON COMMAND...: create and start.
run_container() {
	local id
	id=$(create "$@")
	crictl start "$id" >/dev/null
	echo "$id"
}

# status ID EXPRESSION: of its CRI status, by jq.
status() {
	crictl inspect "$1" | jq -r ".status | $2"
}

in_state() {
	[ "$(status "$1" .state)" = "CONTAINER_$2" ]
}

# exited NAME ID: wait for its end and write down how it came.
exited() {
	until_true 60 in_state "$2" EXITED || die "$1 does not end: $(crictl inspect "$2")"
	fact "$1" "$(status "$2" '"\(.reason) \(.exitCode) \(.message)"')"
	status "$2" '"\(.reason) \(.exitCode)"'
}

# said: what crictl complained of, without its time and level, and without what its client library logs.
said() {
	sed -E -e '/^E[0-9]{4} /d' -e 's/^time="[^"]*" level=[a-z]+ msg=//' "$scratch/err"
}

# nanoseconds ID FIELD: a time of its status as a number.
nanoseconds() {
	date -d "$(status "$1" ".$2")" +%s%N
}

log_of() {
	# The stream and the text of each line, without the time.
	cut -d' ' -f2- "$(status "$1" .logPath)"
}

log_has() {
	log_of "$1" | grep -qF -- "$2"
}

# wait_log ID TEXT
wait_log() {
	until_true 30 log_has "$1" "$2" || die "its log has no line '$2': $(log_of "$1")"
}

# cgroup_file CONTROLLER FILE ID: the value of a container's or a pod's limit, wherever this host has it.
cgroup_file() {
	local file
	for file in /sys/fs/cgroup/{"$1",unified,.}/"$cgroup/$3/$2"; do
		[ -e "$file" ] && cat "$file" && return
	done
	echo "no $2 of $3"
}

remove_pod() {
	crictl stopp "$pod" >/dev/null || die "stopp"
	crictl rmp "$pod" >/dev/null || die "rmp"
	[ -z "$(crictl ps -a -q --pod "$pod")" ] || die "containers are left"
}
