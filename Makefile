# Two commands set everything up: `make demo` and `make test`. Each says what it does while it does it.

SHELL := /usr/bin/env bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

CARGO ?= cargo
CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/lockkeeper
say = @echo "--- $(1)" >&2

include tests/envtest/envtest.mk

.PHONY: help
help: ## Say what there is to make
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

.PHONY: demo
demo: ## Serve HTTPS with the example state, send every example review by curl, show the verdicts
	@./examples/demo.sh

.PHONY: test
test: ## Everything, the real API server included (builds the test bench once: six minutes cold)
	$(call say,test bench: kube-apiserver etcd kubectl helm tekton-controller)
	@bench="$$($(MAKE) --no-print-directory envtest | tail -n 1)"; \
	echo "--- Rust tests" >&2; \
	KUBEBUILDER_ASSETS="$$bench" LOCKKEEPER_REQUIRE_E2E=1 $(CARGO) test --locked --all-targets; \
	echo "--- documentation tests" >&2; \
	$(CARGO) test --locked --doc; \
	echo "--- curl" >&2; \
	tests/curl.sh; \
	echo "--- chart" >&2; \
	HELM="$$bench/helm" tests/chart.sh

.PHONY: unit
unit: ## What needs no test bench: a minute or two
	$(CARGO) test --locked --lib --test admission --test status --test architecture --test cli

.PHONY: e2e
e2e: ## The tests on the real API server alone
	@bench="$$($(MAKE) --no-print-directory envtest | tail -n 1)"; \
	KUBEBUILDER_ASSETS="$$bench" LOCKKEEPER_REQUIRE_E2E=1 $(CARGO) test --locked --test bench --test e2e --test tekton

.PHONY: lint
lint: ## Format, lints, documentation, with warnings denied
	$(call say,format)
	@$(CARGO) fmt --check
	$(call say,clippy)
	@$(CARGO) clippy --locked --all-targets -- -D warnings
	$(call say,rustdoc)
	@RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --no-deps --document-private-items

.PHONY: deny
deny: $(CACHE)/tools/bin/cargo-deny ## Licenses, sources and bans of the dependencies
	@$< --locked check bans licenses sources

$(CACHE)/tools/bin/cargo-deny:
	$(call say,building cargo-deny once into $(CACHE)/tools; minutes)
	@$(CARGO) install --quiet --locked cargo-deny@0.20.2 --root $(CACHE)/tools

.PHONY: generated
generated: ## Write the generated files: the chart's CRDs, the tables of docs/conversion.md
	$(CARGO) run --locked --quiet -- crds --dir charts/lockkeeper/files/crds
	$(CARGO) run --locked --quiet -- crds --dir charts/lockkeeper/files/crds-conversion --conversion-service namespace/service
	LOCKKEEPER_WRITE=1 $(CARGO) test --locked --quiet --test conversion_docs

.PHONY: coverage
coverage: $(CACHE)/tools/bin/cargo-llvm-cov ## Line coverage of the library by its own tests (needs llvm-cov and llvm-profdata, such as Debian's llvm-19)
	@LLVM_COV=$${LLVM_COV:-$$(command -v llvm-cov-19 || command -v llvm-cov)} \
	LLVM_PROFDATA=$${LLVM_PROFDATA:-$$(command -v llvm-profdata-19 || command -v llvm-profdata)} \
	PATH="$(CACHE)/tools/bin:$$PATH" $(CARGO) llvm-cov --locked --lib --summary-only

$(CACHE)/tools/bin/cargo-llvm-cov:
	$(call say,building cargo-llvm-cov once into $(CACHE)/tools)
	@$(CARGO) install --quiet --locked cargo-llvm-cov@0.9.1 --root $(CACHE)/tools

.PHONY: bench
bench: ## Benchmarks; figures and their meaning in docs/performance.md
	@bench="$$($(MAKE) --no-print-directory envtest | tail -n 1)"; \
	KUBEBUILDER_ASSETS="$$bench" $(CARGO) bench --locked

FUZZ_TARGET ?= classify

.PHONY: fuzz
fuzz: $(CACHE)/tools/bin/cargo-fuzz ## Fuzz FUZZ_TARGET (classify or convert) for FUZZ_SECONDS (180); needs a nightly compiler
	@mkdir -p fuzz/corpus/$(FUZZ_TARGET)
	@PATH="$(CACHE)/tools/bin:$$PATH" $(CARGO) +nightly fuzz run -s none $(FUZZ_TARGET) fuzz/corpus/$(FUZZ_TARGET) \
	fuzz/seeds/$(FUZZ_TARGET) -- -max_total_time=$${FUZZ_SECONDS:-180} -max_len=16384

$(CACHE)/tools/bin/cargo-fuzz:
	$(call say,building cargo-fuzz once into $(CACHE)/tools)
	@$(CARGO) install --quiet --locked cargo-fuzz@0.13.2 --root $(CACHE)/tools

.PHONY: image
image: ## The container image (needs docker)
	docker build -t lockkeeper:$$($(CARGO) pkgid | sed 's/.*[#@]//') .
