# `make` lists what there is. Nothing has to be installed first but Rust, Go, Python 3 with venv, and Java; the
# rest is built or installed by these commands, pinned, and kept in ~/.cache/pushscale.

CARGO ?= cargo
STATIC_TARGET = x86_64-unknown-linux-gnu
# auditable: notes in each program what it is made of, for scanners of images.
STATIC = RUSTFLAGS="-C target-feature=+crt-static" $(CARGO) auditable build --locked --target $(STATIC_TARGET)
IMAGES = sidecar aggregator injector
TEST = $(CARGO) test --locked
TEST_CLUSTER = $(CARGO) run --quiet --locked -p pushscale-tests --bin pushscale-test-cluster --
# Real nodes need root; without it the control plane alone is built and the node's tests say why they did not run.
SHAPE = $(if $(filter 0,$(shell id -u)),node,control-plane)

.DEFAULT_GOAL := help
.PHONY: help
help: ## List the commands
	@sed -n 's/^\([a-z%-]*\):.*## /\1\t/p' Makefile | awk -F '\t' '{ printf "  make %-18s %s\n", $$1, $$2 }'

.PHONY: demo
demo: ## See it work: a real TorchServe fleet on this machine scales up and down (two minutes)
	$(CARGO) run --locked -p pushscale-cli -- demo $(DEMO)

.PHONY: test
test: programs ## Run all tests: units, sockets, a real API server, a real node, a real TorchServe
	@# Side by side: the last step of each build has one core's work.
	$(MAKE) --no-print-directory -j2 --output-sync=line static-sidecar static-aggregator test-build
	$(MAKE) --no-print-directory test-quick
	@# These two wait most of the time; those after them carry a load and run alone.
	$(MAKE) --no-print-directory -j2 --output-sync=target test-torchserve test-test-cluster
	$(MAKE) --no-print-directory test-charts
	$(TEST) -p pushscale-tests --test node --test install
	@echo "All tests passed."

.PHONY: test-quick
test-quick: ## Run the tests that need neither a cluster nor TorchServe (two minutes)
	$(TEST) --workspace --exclude pushscale-tests --exclude pushscale-testkit
	$(TEST) -p pushscale-tests --lib --bins --test dependencies --test allocations --test decision --test conformance
	@# Sidecars and servers that wait: 97 s by two threads, 42 s by six.
	$(TEST) -p pushscale-tests --test pipeline -- --test-threads=6

.PHONY: test-torchserve
test-torchserve: ## Run the tests of the TorchServes, the real one and the emulated one, and the sidecar beside the real one
	$(TEST) -p pushscale-testkit
	$(TEST) -p pushscale-tests --test torchserve

.PHONY: test-test-cluster
test-test-cluster: programs static-aggregator ## Run the tests of the test cluster itself, and those against a real API server
	@# They wait most of the time, for controllers and for clocks.
	$(TEST) -p pushscale-tests --test test_cluster --test cluster -- --test-threads=6

.PHONY: test-cluster
test-cluster: programs static-aggregator ## Run the tests against a real API server
	$(TEST) -p pushscale-tests --test cluster

.PHONY: test-node
test-node: programs static ## Run the tests on a real node with real TorchServe pods (root)
	$(TEST) -p pushscale-tests --test node

.PHONY: conformance
conformance: ## Decide random worlds beside the real HPA's controller: SEED=1 CASES=10000 (a minute)
	$(CARGO) run --quiet --locked -p pushscale-tests --bin pushscale-conformance -- compare --seed $(or $(SEED),1) --cases $(or $(CASES),10000)

.PHONY: check
check: ## Format, lint, licences and bans
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings
	$(MAKE) --no-print-directory deny

.PHONY: deny
deny: ## Check licences, bans and sources; advisories too where their database can be reached
	@command -v cargo-deny >/dev/null || $(CARGO) install --locked --version 0.20.2 cargo-deny
	$(CARGO) deny --workspace check $(or $(DENY),licenses bans sources advisories)

.PHONY: generate
generate: ## Rewrite what is generated: the CRD, the charts' tables and schemas, the injected pods of the tests
	PUSHSCALE_GENERATE=1 $(TEST) -q -p pushscale-api --test crd
	PUSHSCALE_GENERATE=1 $(TEST) -q -p pushscale-injector --test pods pods_become
	PUSHSCALE_GENERATE=1 $(TEST) -q -p pushscale-tests --test charts generated

.PHONY: static static-sidecar static-aggregator test-build
static: static-sidecar static-aggregator ## Build the programs that go into images: static, the sidecar for size

static-sidecar: auditable
	$(STATIC) --profile sidecar -p pushscale-sidecar

static-aggregator: auditable
	$(STATIC) --release -p pushscale-aggregator -p pushscale-injector -p pushscale-testkit \
		--bin pushscale-aggregator --bin pushscale-injector --bin pushscale-load

.PHONY: auditable
auditable:
	@command -v cargo-auditable >/dev/null || $(CARGO) install --locked --version 0.7.7 cargo-auditable
	@command -v auditable2cdx >/dev/null || $(CARGO) install --locked --version 0.1.0 auditable2cdx

.PHONY: image
image: static ## Build the images and what they are made of into target/images, by buildah; CLUSTER=dev: and import them into that test cluster
	.ci/image $(IMAGES)

.PHONY: test-charts
test-charts: programs $(if $(filter node,$(SHAPE)),image) ## Test the charts: rendered, refused, taken by an API server, installed and taken away (node: root)
	$(TEST) -p pushscale-tests --test charts

.PHONY: test-install
test-install: programs image test-build ## Follow docs/INSTALL.md and docs/MIGRATING.md on a fresh node, under load (root)
	$(TEST) -p pushscale-tests --test install

.PHONY: test-rotation
test-rotation: programs static ## Wait for the kubelet to renew a pod's token, which takes it eight minutes; no part of `make test` (root)
	$(TEST) -p pushscale-tests --test rotation -- --nocapture

test-build:
	$(TEST) --workspace --no-run

.PHONY: programs
programs: ## Build the Kubernetes of the test cluster, once (16 minutes on two cores)
	tests/test-cluster/provision $(SHAPE)

.PHONY: cluster-up
cluster-up: ## Start a Kubernetes node on this machine
	$(TEST_CLUSTER) up --shape $(SHAPE)

.PHONY: cluster-status
cluster-status: ## Show running test clusters and clean up after crashed ones
	$(TEST_CLUSTER) status

.PHONY: cluster-down
cluster-down: ## Stop the test cluster and remove it
	$(TEST_CLUSTER) down

.PHONY: bench
bench: programs static ## Measure everything, the reaction on a real node too (40 minutes)
	$(CARGO) bench --locked -p pushscale-tests --bench bench

.PHONY: bench-decide
bench-decide: ## Simulate ours beside others in 17 scenarios and fresh random ones: SEEDS=2 RANDOM=12 (a minute)
	$(CARGO) bench --locked -p pushscale-tests --bench bench -- decide

.PHONY: bench-simulate
bench-simulate: ## Measure how long it takes to simulate four hours
	$(CARGO) bench --locked -p pushscale-tests --bench bench -- simulate

bench-%: static ## Measure one: parser, ingest, decision, sidecar, admission, reaction, scale_down
	$(CARGO) bench --locked -p pushscale-tests --bench bench -- $*
