# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# cri-tools' own suite, first with the stock runtime: what passes with it has to pass with ours.

# Images are pulled from registries, which no test of a runtime needs; one spec has an image with a setuid program.
critest_skip='Image Manager|Image Consistency|Image Identifier|benchmark|NoNewPrivs'
web_image=localhost/embedshim/web:1

# Where the suite has its images from, in its own words: image_source PATTERN
image_source() {
	grep -rhoE "$1" "$(go env GOMODCACHE)"/sigs.k8s.io/cri-tools@*/pkg | sed -n '1s/^.*"//p'
}

# The images that its specs name, by what of them the specs look at.
critest_images() {
	local staging e2e name web

	staging=$(image_source '"[a-z0-9.-]+/k8s-staging-cri-tools')
	e2e=$(image_source 'DefaultRegistryPrefix += +"[a-z0-9.-]+')/e2e-test-images
	test_rootfs "$scratch/web"
	mkdir "$scratch/web/www"
	echo "a page" >"$scratch/web/www/index.html"
	# A spec looks for the words "master process" in the arguments of process 1, another for "httpd" in the log.
	web='{"Cmd": ["sh", "-c", "echo httpd; httpd -f -p PORT -h /www & wait", "master process"], "Env": ["PATH=/bin"]}'
	for name in $web_image $e2e/httpd:2.4.39-4 $e2e/nginx:1.14-2; do
		import "$name" "$scratch/web" "${web/PORT/80}"
	done
	import $staging/hostnet-nginx-amd64:latest "$scratch/web" "${web/PORT/12003}"
	echo default-user:x:1000:1000::/home:/bin/sh >>"$scratch/web/etc/passwd"
	echo group-defined-in-image:x:50000:default-user >>"$scratch/web/etc/group"
	import $staging/test-image-predefined-group:latest "$scratch/web" \
		'{"Cmd": ["sh"], "Env": ["PATH=/bin"], "User": "1000"}'
	printf 'defaultTestContainerImage: %s\nwebServerTestImage: %s\n' "$busybox_image" $web_image \
		>"$scratch/critest.yaml"
}

import() {
	local archive
	archive=$(image "$@")
	ctr images import "$archive" >/dev/null 2>&1
	rm "$archive"
}

# critest HANDLER: the names of the specs that passed are in BUILD_DIR/cri/critest-HANDLER.
critest() {
	local worse report=$build/cri/critest-$1.json
	"$bin/critest" --config "$scratch/crictl.yaml" --runtime-endpoint "unix://$socket" --runtime-handler "$1" \
		--test-images-file "$scratch/critest.yaml" --ginkgo.skip "$critest_skip" --ginkgo.no-color \
		--ginkgo.json-report "$report" >"${report%.json}.log" 2>&1 || true
	jq -r '.[].SpecReports[] | select(.LeafNodeType == "It" and .State == "passed") |
		.ContainerHierarchyTexts + [.LeafNodeText] | join(" ")' "$report" | sort >"${report%.json}"
	echo "critest: $1: $(jq -r '[.[].SpecReports[] | select(.LeafNodeType == "It") | .State] | group_by(.) |
		map("\(length) \(.[0])") | join(", ")' "$report")"
	worse=$(comm -23 "$build/cri/critest-runc" "${report%.json}")
	[ -z "$worse" ] || wrong "critest: passes with the stock runtime, but not here: $worse"
}
