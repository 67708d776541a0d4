# `make` lists the commands. Rust, Go, Python 3 with venv, and Java must be installed. These commands build or install
# everything else, pinned except for Debian packages, and keep it in ~/.cache/pushscale and in cargo's own directories.

# Cargo would look for the job server of make, which only sub-makes can reach, and warn.
CARGO ?= cargo
RUN_CARGO = env -u MAKEFLAGS $(CARGO)
MDBOOK = 0.5.4
# Always the whole workspace, so that every command builds the dependencies with the same features. --test NAME selects.
TEST = $(RUN_CARGO) test --locked --workspace
# amd64, or arm64: cross-compiled with Debian's gcc-aarch64-linux-gnu.
ARCH ?= amd64
STATIC_TARGET_amd64 = x86_64-unknown-linux-gnu
STATIC_TARGET_arm64 = aarch64-unknown-linux-gnu
STATIC_TARGET = $(STATIC_TARGET_$(ARCH))
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER = aarch64-linux-gnu-gcc
export CC_aarch64_unknown_linux_gnu = aarch64-linux-gnu-gcc
TEST_CLUSTER = $(CARGO) run --quiet --locked -p pushscale-tests --bin pushscale-test-cluster --
BENCH = $(CARGO) bench --locked -p pushscale-tests --bench bench

# cargo-auditable embeds the list of dependencies into each program, for scanners of images.
STATIC = RUSTFLAGS="-C target-feature=+crt-static" $(RUN_CARGO) auditable build --locked --target $(STATIC_TARGET)
IMAGES = sidecar aggregator certificates injector

# A node needs root. Without root only the control plane is built, and the tests on a node report that they did not run.
SHAPE = $(if $(filter 0,$(shell id -u)),node,control-plane)

# Test targets are files, or directories with a main.rs. Those of the testkit load real servers, or measure real time.
TESTKIT_TESTS = $(notdir $(basename $(wildcard crates/testkit/tests/*.rs)))
QUICK_TESTS = cli conformance $(filter-out $(TESTKIT_TESTS),$(notdir $(basename $(wildcard crates/*/tests/*.rs tests/tests/*.rs))))
select = $(addprefix --test ,$(sort $(1)))

.DEFAULT_GOAL := help
.PHONY: help
help: ## List the commands
	@sed -n 's/^\([a-z%-]*\):.*## /\1\t/p' Makefile | awk -F '\t' '{ printf "  make %-18s %s\n", $$1, $$2 }'

.PHONY: demo
demo: ## Watch a real TorchServe fleet on this machine scale up and down (two minutes)
	$(CARGO) run --locked -p pushscale-cli -- demo $(DEMO)

.PHONY: test
test: ## Run all tests: unit tests, sockets, a real API server, a real node, a real TorchServe
	.ci/step programs $(MAKE) --no-print-directory programs
	@# Side by side: each build ends with minutes of work for one core.
	.ci/step build $(MAKE) --no-print-directory -j3 --output-sync=line static-sidecar static-aggregator test-build
	@# Side by side: the tests on a node take longest and wait for pods half of the time, which the others use.
	.ci/step tests $(MAKE) --no-print-directory -j2 --output-sync=target test-on-node test-elsewhere
	@echo "All tests passed."

.PHONY: test-on-node test-elsewhere
test-on-node:
	.ci/step test-node $(MAKE) --no-print-directory test-node

test-elsewhere:
	@# Side by side: the tests of sockets wait nine tenths of the time.
	.ci/step test-quick-and-sockets $(MAKE) --no-print-directory -j5 --output-sync=target test-quick test-sockets
	.ci/step test-cluster-and-charts $(MAKE) --no-print-directory -j2 --output-sync=target test-cluster test-charts

# For tests, the programs of the images are built without link-time optimization, and most of our own crates without
# any: minutes less, of which most have work for one core only.
NOT_OPTIMIZED = aggregator api certificates daemon external-metrics injector kubernetes testkit
test test-cluster test-node test-charts test-install: export STATIC_OPTIONS = \
	$(foreach crate,$(NOT_OPTIMIZED),--config profile.release.package.pushscale-$(crate).opt-level=0)
test test-cluster test-node test-charts test-install: export CARGO_PROFILE_RELEASE_LTO = off
test test-cluster test-node test-charts test-install: export CARGO_PROFILE_RELEASE_OPT_LEVEL = 1
test test-cluster test-node test-charts test-install: export CARGO_PROFILE_SIDECAR_LTO = off
test test-cluster test-node test-charts test-install: export CARGO_PROFILE_SIDECAR_CODEGEN_UNITS = 16

.PHONY: test-quick
test-quick: ## Run the tests that need neither a cluster nor TorchServe nor sockets
	$(TEST) --lib --bins $(call select,$(QUICK_TESTS))
	$(TEST) --doc

.PHONY: test-sockets
test-sockets: test-pipeline test-page test-testkit test-torchserve

.PHONY: test-pipeline
test-pipeline: ## Run the tests from the sidecar to the aggregator over real sockets
	@# They wait for each other: 97 s with two threads, 42 s with six.
	RUST_TEST_THREADS=6 .ci/retry $(TEST) --test pipeline

.PHONY: test-page
test-page: ## Run the tests of the status page in a real Chromium, which root installs
	.ci/retry $(TEST) --test status_page

.PHONY: test-testkit
test-testkit: ## Run the tests of the real and the emulated TorchServe, and of the load generator
	.ci/retry $(TEST) $(call select,$(TESTKIT_TESTS))

.PHONY: test-torchserve
test-torchserve: ## Run the tests of the sidecar next to a real TorchServe
	.ci/retry $(TEST) --test torchserve

.PHONY: test-cluster
test-cluster: programs static-aggregator test-build ## Run the tests against a real API server
	@# They wait most of the time, for controllers and for clocks.
	RUST_TEST_THREADS=12 .ci/retry $(TEST) --test cluster

.PHONY: test-node
test-node: programs $(if $(filter node,$(SHAPE)),image) test-build ## Run the tests of the test cluster itself, and those on a real node with real TorchServe pods (root)
	@# They wait for pods, those of the installation also for each other. More pods need too much memory, and more nodes
	@# more instances of inotify than Linux permits a user by default.
	RUST_TEST_THREADS=6 .ci/retry $(TEST) --test test_cluster --test node

.PHONY: conformance
conformance: ## Compare decisions with the real HPA controller in random clusters: SEED=1 CASES=10000 (a minute)
	$(CARGO) run --quiet --locked -p pushscale-tests --bin pushscale-conformance -- compare --seed $(or $(SEED),1) --cases $(or $(CASES),10000)

.PHONY: chaos
chaos: programs static-aggregator ## Inject the faults of a cluster under two aggregators: ARGS="--only Lease" (twenty minutes)
	@# Linked dynamically: one of the faults preloads a library.
	$(CARGO) build --quiet --locked -p pushscale-aggregator
	$(CARGO) run --quiet --locked -p pushscale-tests --bin pushscale-chaos -- $(ARGS)

.PHONY: soak
soak: ## Replace PushScalers, pods and tokens thousands of times; fails if memory grows: MINUTES=5 (after as long a warm-up)
	MINUTES=$(or $(MINUTES),5) $(BENCH) -- soak

.PHONY: fuzz
fuzz: ## Fuzz the parsers of untrusted input with libFuzzer: SECONDS=60 in total, TARGETS="push claims"
	env -u MAKEFLAGS tests/fuzz/run $(or $(SECONDS),60) $(TARGETS)

.PHONY: check
check: ## Check format, lints, licences, API docs and workflows
	.ci/step fmt $(CARGO) fmt --all --check
	.ci/step fmt-fuzz $(CARGO) fmt --manifest-path tests/fuzz/Cargo.toml --check
	.ci/step clippy $(RUN_CARGO) clippy --locked --workspace --all-targets -- -D warnings
	.ci/step deny $(MAKE) --no-print-directory deny
	.ci/step rustdoc env RUSTDOCFLAGS="-D warnings" $(RUN_CARGO) doc --locked --workspace --no-deps
	.ci/step actionlint $(MAKE) --no-print-directory actionlint

.PHONY: deny
deny: ## Check licences, bans and sources, and advisories if their database can be reached
	@command -v cargo-deny >/dev/null || $(RUN_CARGO) install --locked --version 0.20.2 cargo-deny
	$(CARGO) deny --workspace check $(or $(DENY),licenses bans sources)
	@# Without the network there is no database. An advisory fails the check.
	@if $(CARGO) deny fetch db >/dev/null 2>&1; then $(CARGO) deny --workspace check advisories; \
		else echo "advisories not checked: failed to fetch their database"; fi

.PHONY: actionlint
actionlint: ## Check the workflows of .github
	@[ ! -d .github/workflows ] || "$$(tests/test-cluster/provision tools)/actionlint" -color

.PHONY: docs
docs: ## Build the documentation into target/book, with mdbook
	@command -v mdbook >/dev/null || $(RUN_CARGO) install --locked --version $(MDBOOK) --no-default-features --features search mdbook
	mdbook build --dest-dir "$(abspath target/book)"

.PHONY: generate
generate: ## Rewrite the generated files: the CRD, the output of --help, tables of docs, the charts' tables and schemas, the injected pods of the tests
	PUSHSCALE_GENERATE=1 $(TEST) -q --test crd
	PUSHSCALE_GENERATE=1 $(TEST) -q --test command_line help
	PUSHSCALE_GENERATE=1 $(TEST) -q --test cli simulating_document
	PUSHSCALE_GENERATE=1 $(TEST) -q --test golden injected_pods_match
	PUSHSCALE_GENERATE=1 $(TEST) -q --test charts generated

.PHONY: screenshots
screenshots: ## Write the pictures of the status page in docs/images
	PUSHSCALE_GENERATE=1 $(TEST) --test status_page screenshots

.PHONY: static static-sidecar static-aggregator test-build
static: static-sidecar static-aggregator ## Build the programs for the images: statically linked, the sidecar for size

static-sidecar: auditable cross
	$(STATIC) --profile sidecar -p pushscale-sidecar

static-aggregator: auditable cross
	$(STATIC) --release $(STATIC_OPTIONS) -p pushscale-aggregator -p pushscale-certificates -p pushscale-injector -p pushscale-testkit \
		--bin pushscale-aggregator --bin pushscale-certificates --bin pushscale-injector --bin pushscale-load

# The Rust standard library and a linker for ARCH=arm64.
.PHONY: cross
cross:
ifeq ($(ARCH),arm64)
	@rustup target list --installed | grep -q $(STATIC_TARGET) || rustup target add $(STATIC_TARGET)
	@command -v aarch64-linux-gnu-gcc >/dev/null || { echo "install gcc-aarch64-linux-gnu" >&2; exit 1; }
endif

.PHONY: auditable
auditable:
	@command -v cargo-auditable >/dev/null || $(RUN_CARGO) install --locked --version 0.7.7 cargo-auditable
	@command -v auditable2cdx >/dev/null || $(RUN_CARGO) install --locked --version 0.1.0 auditable2cdx

.PHONY: image
image: static ## Build the images and their SBOMs into target/images; ARCH=arm64: cross-compiled; CLUSTER=dev: and import them
	ARCH=$(ARCH) .ci/image $(IMAGES)

.PHONY: static-cli
static-cli: auditable cross
	$(STATIC) --release -p pushscale-cli --bin pushscale

# ~/.local, or /usr/local with root's permissions.
PREFIX ?= $(HOME)/.local

.PHONY: install
install: ## Install the program, the kubectl plugin, completions and man pages: PREFIX=/usr/local (minutes)
	$(RUN_CARGO) build --locked --release -p pushscale-cli --bin pushscale
	install -D "$${CARGO_TARGET_DIR:-target}/release/pushscale" "$(DESTDIR)$(PREFIX)/bin/pushscale"
	ln -sf pushscale "$(DESTDIR)$(PREFIX)/bin/kubectl-pushscale"
	mkdir -p "$(DESTDIR)$(PREFIX)/share/bash-completion/completions"
	"$(DESTDIR)$(PREFIX)/bin/pushscale" completions bash >"$(DESTDIR)$(PREFIX)/share/bash-completion/completions/pushscale"
	"$(DESTDIR)$(PREFIX)/bin/pushscale" completions --man "$(DESTDIR)$(PREFIX)/share/man/man1"

.PHONY: release-dry-run
release-dry-run: ## Do everything of a release that needs no network, into target/release-dry-run (twenty minutes)
	.ci/release

.PHONY: test-charts
test-charts: programs ## Test the charts: rendered, rejected, accepted by an API server
	$(TEST) --test charts

.PHONY: test-install
test-install: programs image test-build ## Follow docs/INSTALL.md, docs/MIGRATING.md and helm/plain/README.md on a fresh node, under load (root)
	$(TEST) --test node install::

.PHONY: test-rotation
test-rotation: programs static ## Wait until the kubelet has renewed a pod's token (twelve minutes); not part of `make test` (root)
	$(TEST) --test rotation -- --nocapture

test-build:
	$(TEST) --no-run

.PHONY: programs
programs: keda ## Build Kubernetes and KEDA for the test cluster, once (half an hour on two cores)
	tests/test-cluster/provision $(SHAPE)

.PHONY: keda
keda: ## Build KEDA's operator and metrics adapter for the tests, once
	tests/test-cluster/provision keda

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
bench: programs static ## Run all benchmarks, with the reaction on a real node (40 minutes)
	$(BENCH)

.PHONY: bench-decide
bench-decide: ## Compare autoscalers in simulated scenarios: SEEDS=2 RANDOM=12 HELD_OUT=0 HOSTILE=0 RECURRING=0 RANDOM_HOSTILE=0 STARTS=own (a minute)
	$(BENCH) -- decide

.PHONY: bench-faro
bench-faro: ## Run FARO's jobs: DIR=directory with a scenario per job SEEDS=2 (five minutes)
	$(BENCH) -- faro

.PHONY: bench-ablate
bench-ablate: ## Leave out each rule of the model in turn: SEEDS=1 RANDOM=24 SETS="shared random hostile" (half an hour)
	$(BENCH) --features ablation -- ablate

.PHONY: bench-simulate
bench-simulate: ## Measure how long the simulation of four hours takes
	$(BENCH) -- simulate

bench-%: static ## Run one benchmark: parser, ingest, decision, sidecar, admission, reaction, autoscalers, scale_down, status_page
	$(BENCH) -- $*
