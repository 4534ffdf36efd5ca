# What there is to do here. Everything that is built lands in bin/, which git ignores.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
PROGRAMS := $(notdir $(wildcard cmd/*))
# Without gRPC's trace pages, and the templates that they are written with, programs are a sixth smaller.
TAGS := grpcnotrace
# The folders with a go.mod of their own.
MODULES := lab test/kubelet tools
TOOLS := controller-gen golangci-lint gotestsum govulncheck
# How the lab is made: make lab LAB="--control-planes 3 --workers 3"
LAB ?= --workers 2

# The linter remembers paths: what it found in one checkout it reports under that name in another,
# where the exclusions do not match it.
export GOLANGCI_LINT_CACHE := $(CURDIR)/bin/lint-cache

.PHONY: help
help: ## Show this list
	@awk 'BEGIN {FS = ":.*## "} /^##@/ {print "\n" substr($$0, 5)} /^[a-z-]+:.*## / {printf "  %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

##@ Use
.PHONY: build
build: $(PROGRAMS:%=bin/%) ## Build the programs into bin/, static

.PHONY: demo
demo: bin/kubectl-maek ## Diagnose a recorded cluster that is broken twice
	@bin/kubectl-maek demo || [ $$? -eq 1 ] # 1 says that there are incidents, and there are

.PHONY: lab
lab: bin/lab bin/kubectl-maek ## Make a real cluster on this machine (as root)
	bin/lab up --install $(LAB)
	@echo
	@echo 'Look at it:     eval "$$(bin/lab env)" && bin/kubectl-maek'
	@echo 'Break it:       bin/lab exec w1 -- systemctl stop kubelet'
	@echo 'Take it away:   make lab-down'

.PHONY: lab-agents
lab-agents: images ## Install agents on that cluster, or bring them up to date
	eval "$$(bin/lab env)" && bin/kubectl-maek install --agent --operator=false --image ghcr.io/maek-dev/maek-agent:$(VERSION) | kubectl apply -f - && \
		kubectl -n maek-system rollout restart daemonset/maek-agent && kubectl -n maek-system rollout status daemonset/maek-agent --timeout=180s

.PHONY: lab-maek
lab-maek: images ## Install everything on that cluster, or bring it up to date
	eval "$$(bin/lab env)" && bin/kubectl-maek install --apply --force-conflicts --agent --image ghcr.io/maek-dev/maek-agent:$(VERSION) \
		--operator-image ghcr.io/maek-dev/maek-operator:$(VERSION) --checker-image ghcr.io/maek-dev/maek-checker:$(VERSION)

.PHONY: lab-down
lab-down: bin/lab ## Take that cluster away
	bin/lab down

.PHONY: images
images: build bin/lab ## Make container images of the programs in dist/images, and load them into the lab if it is up
	go run -C lab ./cmd/images -bin '$(CURDIR)/bin' -out '$(CURDIR)/dist/images' -version '$(VERSION)'
	@if bin/lab status >/dev/null 2>&1; then bin/lab load dist/images/*.tar; fi

##@ Test
.PHONY: test
test: ## Test everything that takes minutes: unit, verify, control plane, bundles, lab smoke test
	.ci/test unit verify controlplane bundles lab

.PHONY: test-all
test-all: ## Test everything, hours included: also all faults, other systems, vulnerabilities
	.ci/test unit verify controlplane bundles faults-controlplane lab textbook faults platforms vuln

.PHONY: test-unit
test-unit: ## Test what needs nothing but Go
	.ci/test unit

.PHONY: test-controlplane
test-controlplane: ## Test against a real API server and etcd (built on first use)
	.ci/test controlplane

.PHONY: test-bundles
test-bundles: ## Test on recorded clusters
	.ci/test bundles

.PHONY: test-lab
test-lab: ## Test one fault on the lab (as root; uses the lab that is up, or makes one)
	.ci/test lab

.PHONY: test-textbook
test-textbook: ## Test what is told of probes that fail, on the lab (as root; uses the lab that is up, or makes one)
	.ci/test textbook

.PHONY: test-faults
test-faults: ## Test every fault on the lab (as root; uses the lab that is up, or makes one)
	.ci/test faults

.PHONY: test-faults-controlplane
test-faults-controlplane: ## Test every fault that a control plane with nodes of code can show (Linux; about half an hour)
	.ci/test faults-controlplane

.PHONY: bench
bench: bin/kubectl-maek bin/barelist bin/controlplane ## Measure diagnose beside a bare LIST on a generated cluster of 2,000 pods
	KUBEBUILDER_ASSETS='$(CURDIR)/bin/controlplane' go run ./bench/diagnose

.PHONY: bench-judge
bench-judge: ## Measure rules and diagnosis alone, on snapshots of 20,000 to 100,000 pods, on one core
	go test -run '^$$' -bench . -benchtime 3x -benchmem -cpu 1 ./bench/judge

.PHONY: bench-large
bench-large: bin/kubectl-maek bin/barelist bin/controlplane ## Measure the same with 20,000 and with 100,000 pods (takes 8 GiB of memory, and half an hour)
	KUBEBUILDER_ASSETS='$(CURDIR)/bin/controlplane' go run ./bench/diagnose -nodes 1000 -deployments 2000 -namespaces 50 -pairs 5
	KUBEBUILDER_ASSETS='$(CURDIR)/bin/controlplane' go run ./bench/diagnose -nodes 5000 -deployments 10000 -namespaces 200 -pairs 5

.PHONY: bench-watched
bench-watched: bin/controlplane ## Measure the operator's diagnosing on change beside plain informers, at 2,000 and 20,000 pods
	KUBEBUILDER_ASSETS='$(CURDIR)/bin/controlplane' go run ./bench/watched
	KUBEBUILDER_ASSETS='$(CURDIR)/bin/controlplane' go run ./bench/watched -nodes 500 -deployments 2000 -namespaces 50

.PHONY: bench-checks
bench-checks: bin/maek-operator bin/controlplane ## Measure the operator running 10 to 2,000 checks as pods, and being killed meanwhile (takes most of an hour)
	KUBEBUILDER_ASSETS='$(CURDIR)/bin/controlplane' go run ./bench/checks -checks 10,100,1000,2000
	KUBEBUILDER_ASSETS='$(CURDIR)/bin/controlplane' go run ./bench/checks -checks 100 -kills 20

.PHONY: bench-probes
bench-probes: ## Measure what a probe costs, and how late 10,000 checks every 10 s begin on one core (takes eight minutes, and wants a machine that does nothing else)
	mkdir -p bin
	CGO_ENABLED=0 go build -trimpath -tags '$(TAGS)' -ldflags '-s -w' -o bin/bench-probes ./bench/probes
	bin/bench-probes

##@ Change
.PHONY: generate
generate: bin/controller-gen ## Write what is generated from the code
	bin/controller-gen object crd paths=./api/... output:crd:dir=config/crd
	go generate ./...

.PHONY: fmt
fmt: bin/golangci-lint ## Format the code
	for module in . $(MODULES); do (cd $$module && '$(CURDIR)/bin/golangci-lint' fmt --config '$(CURDIR)/.golangci.yml' ./...); done

.PHONY: lint
lint: bin/golangci-lint ## Look for what is not the way of the house
	bin/golangci-lint config verify
	failed=0; for module in . $(MODULES); do \
		(cd $$module && '$(CURDIR)/bin/golangci-lint' run --config '$(CURDIR)/.golangci.yml' ./...) || failed=1; \
	done; exit $$failed

.PHONY: verify
verify: verify-generated verify-modules lint ## Lint, and check that generated files and go.mod are up to date

.PHONY: verify-generated
verify-generated: bin/controller-gen
	.ci/verify-generated

.PHONY: verify-modules
verify-modules:
	for module in . $(MODULES); do go -C $$module mod tidy -diff; done

.PHONY: vuln
vuln: bin/govulncheck ## Look for known vulnerabilities (asks vuln.go.dev)
	bin/govulncheck ./...

.PHONY: clean
clean: ## Remove what was built here; the lab's build cache is kept
	rm -rf bin dist

# Built by go, which knows better than make what has changed.
.PHONY: FORCE
FORCE:

$(PROGRAMS:%=bin/%): bin/%: FORCE
	CGO_ENABLED=0 go build -trimpath -tags '$(TAGS)' -ldflags '-s -w -X main.version=$(VERSION)' -o $@ ./cmd/$*

bin/barelist: FORCE
	CGO_ENABLED=0 go build -trimpath -ldflags '-s -w' -o $@ ./bench/barelist

bin/lab: FORCE
	CGO_ENABLED=0 go build -C lab -o ../bin/lab ./cmd/lab

# The tools' versions are those of tools/go.mod.
$(TOOLS:%=bin/%): bin/%: tools/go.mod tools/go.sum
	go build -C tools -o ../$@ "$$(go list -C tools tool | grep '/$*$$')"
	@touch $@

# The control plane comes from the lab's build cache, where a lab finds it too.
CONTROL_PLANE := etcd kube-apiserver kube-controller-manager kube-scheduler kubectl

.PHONY: bin/controlplane
bin/controlplane:
	go run -C lab ./cmd/components build $(CONTROL_PLANE)
	@mkdir -p $@
	@for program in $(CONTROL_PLANE); do ln -sf "$$(go run -C lab ./cmd/components path $$program)" $@/; done
