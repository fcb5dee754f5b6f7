# What CI does is .ci/run; this is for the keyboard.

FUZZTIME    = 10s
SCALE       = 0.02
STATICCHECK = honnef.co/go/tools/cmd/staticcheck@v0.8.2

.PHONY: help check fmt vet staticcheck test race fuzz bench gobench build install man completions clean

help: ## list the targets
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' Makefile | expand -t 14

check: fmt vet staticcheck test ## formatting, vet, staticcheck, tests

fmt: ## fail if gofmt would change a file
	@files=$$(gofmt -l .) && test -z "$$files" || { echo "gofmt -w $$files"; exit 1; }

vet: ## go vet
	go vet ./...

staticcheck: ## staticcheck
	go run $(STATICCHECK) ./...

test: ## all tests
	go test ./...

race: ## all tests with the race detector
	go test -race -timeout 20m ./...

fuzz: ## fuzz each target for FUZZTIME
	bash .ci/fuzz $(FUZZTIME)

bench: build ## snapfs beside other ways to read an archive, small; SCALE=1 is full size
	bin/snapfs bench --scale $(SCALE)

gobench: ## the benchmarks of all packages
	go test -run '^$$' -bench . -benchmem ./...

build: ## bin/snapfs
	go build -trimpath -o bin/snapfs ./cmd/snapfs

install: ## snapfs into the bin directory of Go
	go install -trimpath ./cmd/snapfs

man: build ## bin/snapfs.1
	bin/snapfs man >bin/snapfs.1

completions: build ## bin/snapfs.bash, .zsh and .fish
	for shell in bash zsh fish; do bin/snapfs completion --code $$shell >bin/snapfs.$$shell || exit; done
	sed -i 's|$(CURDIR)/bin/||' bin/snapfs.bash bin/snapfs.zsh bin/snapfs.fish # wherever it is installed

clean: ## remove bin
	rm -rf bin
