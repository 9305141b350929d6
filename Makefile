# make help lists the targets. They come one after another, whatever -j says:
# test installs its programs before it uses them.
.NOTPARALLEL:

GO         ?= go
VERSION    := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
LDFLAGS    := -s -w -X deadman/internal/cli.version=$(VERSION)
TOOL       := $(GO) tool -modfile=tools/go.mod
FUZZTIME   ?= 1m
# REQUIRE=systemd: a machine that cannot run that suite fails it (.ci/run).
REQUIRE    ?=
INCIDENTS  ?=
SAMPLE     ?=
SEEDS      ?=
HISTORIES  ?= 1000000
ROUNDS     ?= 100000
# Of the places where deadman can be killed, or its disk fail; 0 is all.
POINTS     ?= 0
BENCHTIME  ?= 1s
BENCHCOUNT ?= 1

# nginx lives in sbin, which is not in everybody's PATH.
export PATH := $(PATH):/usr/sbin:/sbin

.PHONY: build
build: ## the program, bin/deadman: static, stripped, reproducible
	CGO_ENABLED=0 $(GO) build -buildvcs=false -trimpath -ldflags "$(LDFLAGS)" -o bin/deadman ./cmd/deadman

.PHONY: test
test: test-deps lint test-race test-scenarios test-nginx test-owners test-apply test-openclaw test-systemd ## everything; installs what the tests need (Debian packages)

.PHONY: test-deps
test-deps: ## install the programs that the tests use
	tools/install-test-deps

.PHONY: test-race
test-race: ## the Go tests with the race detector, in random order
	CGO_ENABLED=1 $(GO) test -race -shuffle=on ./...

.PHONY: test-fast
test-fast: ## the Go tests alone; what needs a missing program is skipped
	$(GO) test ./...

.PHONY: test-scenarios
test-scenarios: ## the program against agents and disks that go wrong, as stories; killed at every point of a recovery
	DEADMAN_RUN=scenarios $(GO) test -count=1 -run '^(TestScenarios|TestCrashAtEveryRecordedAction)$$' ./internal/simtest

# DEADMAN_REQUIRE names the programs whose absence is a failure, not a skip.
.PHONY: test-nginx
test-nginx: ## the suite against a real nginx
	DEADMAN_RUN=scenarios DEADMAN_REQUIRE=nginx $(GO) test -count=1 -v -run '^TestScenarios$$/nginx' ./internal/simtest

.PHONY: test-owners
test-owners: ## the suites against real runit, supervisord, tmux and, where it can run, podman
	DEADMAN_RUN=scenarios DEADMAN_REQUIRE="runit supervisord tmux" $(GO) test -count=1 -run '^(TestScenarios|TestCrashUnderAnOwner)$$/owner' ./internal/simtest
	DEADMAN_REQUIRE=tmux $(GO) test -count=1 -v -run '^TestPanes$$' ./internal/rival
	DEADMAN_REQUIRE="runit supervisord tmux" $(GO) test -count=1 -v -run '^Test(Owners|Runit|Supervisord|Tmux|Docker|Launchd)' ./internal/supervisor

.PHONY: test-apply
test-apply: ## kill deadman at every point of an apply
	DEADMAN_RUN=apply $(GO) test -count=1 -v -timeout 20m -run '^TestCrashInApply$$' ./internal/simtest

# npm brings the gateway, the first time. It starts slowly, and often here.
.PHONY: test-openclaw
test-openclaw: test-deps ## the suite against a real OpenClaw gateway from npm; skipped where npm cannot bring it
	export DEADMAN_RUN="openclaw systemd" DEADMAN_REQUIRE="$(REQUIRE)" DEADMAN_OPENCLAW="$$(tools/install-openclaw)"; \
	$(GO) test -count=1 -v -timeout 45m ./internal/simtest/openclaw && \
	$(GO) test -count=1 -v -timeout 45m -run TestOpenClaw ./internal/simtest/systemd

# A machine of its own is booted, which takes root and a mirror of Debian.
.PHONY: test-systemd
test-systemd: test-deps ## the suite against a real systemd, in systemd-nspawn; skipped where that cannot be
	DEADMAN_RUN=systemd DEADMAN_REQUIRE="$(REQUIRE)" $(GO) test -count=1 -v ./internal/simtest/systemd

# Two machines are booted, and Ansible comes to them over SSH; a third pulls. cron's grain is a minute,
# so most of it is waiting.
.PHONY: test-ansible
test-ansible: ## the collection in ansible/, on machines with a real cron; skipped where those cannot be; SAMPLE=1: deaths only
	tools/install-test-deps ansible
	DEADMAN_RUN=ansible DEADMAN_REQUIRE="$(REQUIRE)" $(GO) test -count=1 -v -timeout 60m $(if $(SAMPLE),-run 'Test(Units|Lint|Fleet)$$/^deaths$$') ./internal/simtest/ansible

.PHONY: sim
sim: ## simulated histories (HISTORIES=1000000), and every planted fault
	$(GO) test -count=1 -timeout 60m -v -run '^TestHistories$$' ./internal/simtest/sim -histories $(HISTORIES)
	DEADMAN_RUN=sim $(GO) test -count=1 -timeout 30m -v -run '^TestFaults$$' ./internal/simtest/sim

# Skipped where it is not root: the attacker is to be another user.
.PHONY: attack
attack: ## a hostile agent changes its files while they are captured and restored (ROUNDS=100000)
	$(GO) test -count=1 -timeout 6h -v -run '^TestAttack$$' ./internal/simtest/attack -rounds $(ROUNDS)

.PHONY: crash
crash: ## deadman is killed at each system call that changes the world (POINTS=n of them, evenly)
	DEADMAN_RUN=crash $(GO) test -count=1 -timeout 240m -v -run '^TestCrash$$' ./internal/simtest/crash -points $(POINTS)

# As root, with /dev/fuse; skipped elsewhere. It waits a lot: for proofs.
.PHONY: powerloss
powerloss: ## power lost at every point of what deadman does, each sync taken out in turn; SAMPLE=1 tries some
	DEADMAN_RUN=powerloss DEADMAN_REQUIRE="$(REQUIRE)" $(GO) test -count=1 -timeout 180m -parallel 6 -v -run '^TestPowerLoss$$' ./internal/simtest/powerloss $(if $(SAMPLE),-sample 100)

.PHONY: secrets
secrets: build ## values planted in configs are found nowhere outside the store (SEEDS=regexp of 01 to 12)
	DEADMAN_RUN=secrets $(GO) test -count=1 -timeout 30m -parallel 4 -v -run '^TestSecrets$$/^seed$$/($(SEEDS))' ./internal/simtest/secrets -deadman $(CURDIR)/bin/deadman

.PHONY: faults
faults: ## its disk fails at each call that writes, syncs, makes or moves a name (POINTS=n of these faults)
	DEADMAN_RUN=faults $(GO) test -count=1 -timeout 600m -v -run '^TestDisks$$' ./internal/simtest/crash -points $(POINTS)

.PHONY: crash-faults
crash-faults: ## do the judges of crash and faults find what is planted?
	DEADMAN_RUN=planted $(GO) test -count=1 -timeout 120m -v -parallel 4 -run '^TestPlanted$$' ./internal/simtest/crash

.PHONY: attack-faults
attack-faults: ## each protection against that is taken away, one at a time, and must be missed
	DEADMAN_RUN=attack $(GO) test -count=1 -timeout 6h -v -run '^TestFaults$$' ./internal/simtest/attack

# A day and more: crash points, failing disks and the hostile agent in full.
.PHONY: soak
soak: sim crash crash-faults faults test-apply powerloss attack attack-faults fuzz secrets ## all of docs/SAFETY.md at full length

.PHONY: replay
replay: ## real incidents, replayed against deadman by watch and by check (INCIDENTS=regexp)
	DEADMAN_RUN=replay $(GO) test -count=1 -parallel 12 -run 'Test(Replay|Nothing)/$(INCIDENTS)' ./internal/simtest/incidents

# A system that is not there, and systemd where no machine can be booted, is named
# in the document as not run.
.PHONY: scoreboard
scoreboard: ## the same incidents under what people use today too; writes docs/scoreboard.md (INCIDENTS=regexp)
	tools/install-test-deps scoreboard || echo "going on without them"
	DEADMAN_RUN=scoreboard $(GO) test -count=1 -timeout 30m -parallel 18 -run 'TestScoreboard/$(INCIDENTS)' ./internal/simtest/incidents

.PHONY: lint
lint: ## go vet, gofumpt and staticcheck, all pinned
	$(GO) vet ./...
	@files=$$($(TOOL) gofumpt -l .) && [ -z "$$files" ] || { echo "gofumpt -w would change:"; echo "$$files"; exit 1; }
	$(TOOL) staticcheck ./...

.PHONY: fmt
fmt: ## gofumpt -w
	$(TOOL) gofumpt -w .

.PHONY: cross
cross: ## does it build for the other platforms?
	@set -e; for p in linux/arm64 linux/arm darwin/arm64; do \
	  echo "build $$p"; CGO_ENABLED=0 GOOS=$${p%/*} GOARCH=$${p#*/} $(GO) build ./...; done

.PHONY: fuzz
fuzz: ## every fuzz target for FUZZTIME (1m) each
	GO="$(GO)" tools/fuzz $(FUZZTIME)

.PHONY: bench
bench: ## every benchmark; BENCHTIME (1s) and BENCHCOUNT (1)
	$(GO) test -run '^$$' -bench . -benchmem -benchtime $(BENCHTIME) -count $(BENCHCOUNT) ./...

.PHONY: demo
demo: ## an agent breaks its own config, dies, and comes back; in a temporary directory
	demo/run

.PHONY: clean
clean: ## what build made
	rm -rf bin

.PHONY: help
help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  \1|\2/p' Makefile | while IFS='|' read -r target what; do \
	  printf '%-14s %s\n' "$$target" "$$what"; done
