.DEFAULT_GOAL := help
LINT_VERSION := v2.15.0
VULN_VERSION := v1.9.0
SBOM_VERSION := v1.10.0
TOOLS := $(CURDIR)/bin

.PHONY: help
help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: up
up: ## run everything in one process tree
	go run ./services/notsale up

.PHONY: demo
demo: ## the same, with a sale a minute and 200 simulated shoppers
	go run ./services/notsale up --demo

.PHONY: build
build: ## build the program into bin/
	CGO_ENABLED=0 go build -trimpath -o $(TOOLS)/notsale ./services/notsale

.PHONY: test
test: ## all tests in their short form, on real Postgres, Redis and NATS
	go test ./...

# Packages with a long form: more and larger than package effort's short one, or
# more random checks.
LONG = $(shell grep -rlE 'effort\.(Of|Long|NeedsLong)\b|pgregory.net/rapid' --include='*_test.go' loadtest pkg services | xargs -n1 dirname | sort -u | sed 's|^|./|')

.PHONY: check
check: ## the tests that have a long form, in it; what vet says, lint says
	pattern=$$(.ci/long $(LONG)) && NOTSALE_LONG=1 go test -vet=off -timeout 45m -run "$$pattern" $(LONG)

# Where tests measure something; each stands alone on the machine.
MEASURED := ./pkg/ledger ./pkg/stream ./pkg/rejection ./loadtest/simulation ./services/auditor/archive ./loadtest/faults ./loadtest/faults/check
.PHONY: measure
measure: ## benchmarks, and what the long tests measure beside its goal; leave the machine alone
	@NOTSALE_LONG=1 go test -p 1 -parallel 1 -count 1 -timeout 60m -v $(MEASURED) | \
		awk '/figure: / {sub(/.*figure: /, ""); print} /^(FAIL|--- FAIL|ok )/'
	go test -run '^$$' -bench . ./pkg/... ./services/...

.PHONY: lint
lint: $(TOOLS)/golangci-lint-$(LINT_VERSION) ## formatting, vet and linters
	$< run ./...
	GOOS=darwin go vet ./pkg/... ./services/...

$(TOOLS)/golangci-lint-$(LINT_VERSION):
	GOBIN=$(TOOLS) GOFLAGS= go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(LINT_VERSION)
	mv $(TOOLS)/golangci-lint $@

.PHONY: vuln
vuln: $(TOOLS)/govulncheck-$(VULN_VERSION) ## known vulnerabilities in what the program calls, by https://vuln.go.dev
	$< ./services/notsale

$(TOOLS)/govulncheck-$(VULN_VERSION):
	GOBIN=$(TOOLS) GOFLAGS= go install golang.org/x/vuln/cmd/govulncheck@$(VULN_VERSION)
	mv $(TOOLS)/govulncheck $@

.PHONY: sbom
sbom: $(TOOLS)/cyclonedx-gomod-$(SBOM_VERSION) build ## build, and list what went into it in bin/notsale.cdx.json
	$< bin -json -std -noserial -notimestamp -output $(TOOLS)/notsale.cdx.json $(TOOLS)/notsale

$(TOOLS)/cyclonedx-gomod-$(SBOM_VERSION):
	GOBIN=$(TOOLS) GOFLAGS= go install github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod@$(SBOM_VERSION)
	mv $(TOOLS)/cyclonedx-gomod $@

# Inputs, some 20 s of them, not seconds: when the time ends in the middle of one,
# go test may fail with "context deadline exceeded", https://go.dev/issue/75804.
.PHONY: fuzz
fuzz: ## every fuzz target, for as many inputs as take some 20 s
	@set -e; for found in $$(grep -roE '^func Fuzz\w+' --include='*_test.go' pkg services | sort | sed 's|/[^/]*:func |:|'); do \
		package=./$${found%:*}; target=$${found#*:}; \
		case $$package in */archive) inputs=5000x;; */edge) inputs=30000x;; *) inputs=200000x;; esac; echo "$$package $$target"; \
		go test -run '^$$' -fuzz "^$$target$$" -fuzztime $$inputs -fuzzminimizetime 1000x $$package; \
	done

.PHONY: hammer
hammer: ## sell out the newest sale of a running shop and check every answer
	go run ./loadtest/hammer --clients 256 --users 1000

.PHONY: compare
compare: ## sell-outs against a bare Gin handler, in one run
	go run ./loadtest/compare

.PHONY: containers
containers: ## run what is shipped, by Docker (.ci/containers: an engine, and stand-ins for images)
	NOTSALE_CONTAINERS=1 NOTSALE_REQUIRE_REAL=1 go test -count=1 -timeout 30m -parallel 1 -v ./deployments/compose

.PHONY: image
image: ## the image notsale:local, labelled with the commit (compose builds it too, without)
	NOTSALE_VERSION=$$(git describe --tags --always --dirty) NOTSALE_REVISION=$$(git rev-parse HEAD) docker compose build edge

.PHONY: ci
ci: ## what CI runs
	bash .ci/run
