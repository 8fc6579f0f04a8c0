# What to do with this checkout: `make help`. It installs what it needs by itself (see tests/tools/deps);
# what it makes is in .venv and .build, and `make clean` removes both.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.NOTPARALLEL:
MAKEFLAGS += --no-print-directory --no-builtin-rules

NAME := ansible_collections/vm_preserving/maintenance
BUILD := $(CURDIR)/.build
# The checkout's own files where Ansible expects them: a copy, for the checkers.
MIRROR := $(BUILD)/src/$(NAME)
# The built collection, unpacked: for the checkers, which leave files in it.
ARTEFACT := $(BUILD)/artefact/$(NAME)

export PATH := $(CURDIR)/.venv/bin:$(PATH)
export ANSIBLE_COLLECTIONS_PATH := $(BUILD)/collections
export ANSIBLE_LOCALHOST_WARNING := False
export ANSIBLE_DEVEL_WARNING := False

INTEGRATION := $(notdir $(patsubst %/runme.sh,%,$(sort $(wildcard tests/integration/targets/*/runme.sh))))
# What is for one release or kind of host only has a target of its own.
SCENARIOS := $(filter-out way_back machine,$(notdir $(patsubst %/molecule.yml,%,$(sort $(wildcard extensions/molecule/*/molecule.yml)))))
# There the newer QEMU refuses the state of every guest, which is what way_back is about.
WITHOUT_trixie := refresh reboot

CORES := $(shell sed -n 's/^\([0-9]*\.[0-9]*\)\..*/\1/p' tests/matrix.txt)

# Around a command that brings the lab up: take it down again if it was not up before.
AS_IT_WAS := tests/lab/lab status >/dev/null 2>&1 && was_up=yes || was_up=; status=0;
SO_AGAIN := [ -n "$$was_up" ] || tests/lab/lab down; exit $$status

help:  ## show this list
	@echo "make TARGET, where TARGET is one of:"
	@awk -F ':.*  ## ' '/^[a-z-]+:.*  ## / { printf "  %-12s %s\n", $$1, $$2 }' Makefile
	@echo "Only a part: make unit ARGS='-k clock', make lint ARGS=playbooks/recover.yml, make integration T=NAME, make matrix T=2.16, make molecule T=NAME."
	@echo "make integration V=1 shows everything as it runs; logs are in .build/logs."

# --- what is needed ---------------------------------------------------------------------------------------------------------------------

deps: venv  ## install everything that the checks and the lab need
	@tests/tools/deps lint
	@tests/tools/deps lab

venv:
	@tests/tools/deps venv

mirror:
	@mkdir -p $(MIRROR)
	@python3 tests/tools/checkout.py mirror $(MIRROR)
	@[ -d $(MIRROR)/.git ] || git init -q $(MIRROR)  # else the checkers would ask the checkout's git, which ignores .build

collection: venv  ## build the collection and install it into .build/collections
	@tests/tools/collection $(BUILD)

# --- checks -----------------------------------------------------------------------------------------------------------------------------

test:  ## run every check: unit lint sanity artefact integration matrix-fast molecule molecule-trixie chaos-fast; ends at the first that fails
	@tests/tools/run_each test '$(MAKE) "$$1"' static integration matrix-fast molecule molecule-trixie chaos-fast

test-all:  ## run every check, the strategy with every ansible-core, the scenarios on every release, every fault, then the demo, the benchmark, the report and the coverage
	@tests/tools/run_each test-all '$(MAKE) "$$1"' static integration matrix molecule-all molecule-trixie machine chaos demo bench report coverage

# They need no lab, and have two cores for themselves.
static: venv mirror collection  ## run unit, lint, sanity and artefact, all four at once
	@tests/tools/deps lint
	@tests/tools/run_each --together static '$(MAKE) "$$1"' unit lint sanity artefact

unit: venv mirror  ## run the unit tests
	@cd $(MIRROR); PYTHONPATH=$(BUILD)/src ANSIBLE_COLLECTIONS_PATH=$(BUILD)/src pytest $(ARGS)

lint: venv mirror changelog  ## run ansible-lint, yamllint, ruff, mypy and shellcheck, and check the changelog fragments
	@tests/tools/deps lint
	@ANSIBLE_COLLECTIONS_PATH=$(BUILD)/src tests/tools/lint $(MIRROR) $(ARGS)

changelog: venv  ## check the changelog fragments
	@antsibull-changelog lint

sanity: venv mirror collection  ## run ansible-test's sanity tests on the built collection, and on the rest of the checkout
	@tests/tools/deps lint
	@rm -rf $(ARTEFACT); mkdir -p $(ARTEFACT); cp -r $(BUILD)/collections/$(NAME)/. $(ARTEFACT)
	@git init -q $(ARTEFACT)  # as in the mirror
	@python3 tests/tools/sanity.py $(ARTEFACT) $(MIRROR)

artefact: collection  ## judge the built collection as Galaxy's importer and the documentation site do
	@tests/tools/artefact $(BUILD)

integration: deps collection  ## run tests/integration/targets/*/runme.sh
	@tests/tools/run_each --quiet --keep-going integration 'cd "tests/integration/targets/$$1"; ./runme.sh' $(or $(T),$(INTEGRATION))

matrix: venv collection  ## try the update_domain strategy with every release of ansible-core in tests/matrix.txt
	@tests/tools/run_each --quiet --keep-going matrix '$(MAKE) matrix-of CORE=$$1' $(or $(T),$(CORES))

# `make integration` plays the same stories with a release between them, the project's own.
matrix-fast:  ## the same with the oldest and the newest that a Python here can run
	@here=$$(tests/tools/deps matrix-here); set -- $$here; $(MAKE) matrix T="$$1 $${!#}"

matrix-of:
	@tests/tools/deps matrix $(CORE)
	@PATH="$(BUILD)/matrix/$(CORE)/bin:$$PATH" tests/integration/targets/strategy_update_domain/runme.sh

molecule: deps collection  ## run the scenarios of extensions/molecule on the lab, which is taken down again if it was not up
	@$(AS_IT_WAS) tests/tools/run_each --keep-going molecule 'molecule test -s "$$1" --no-command-borders' $(or $(T),$(SCENARIOS)) || status=$$?; $(SO_AGAIN)

molecule-all:  ## run them on every release that the lab's hosts can be made of
	@tests/tools/run_each --keep-going molecule-all '$(MAKE) molecule-of RELEASE=$$1' \
		$$(PYTHONPATH=tests/lab python3 -B -c 'from vmplab.releases import RELEASES; print(*RELEASES)')

molecule-of:
	@VMP_LAB_RELEASE=$(RELEASE) $(MAKE) molecule T="$(filter-out $(WITHOUT_$(RELEASE)),$(SCENARIOS))"

# On a lab of its own, for a host that runs already may be of another release.
molecule-trixie:  ## run the scenario of a QEMU that refuses the state of the guests, on a host of Debian 13
	@VMP_LAB_STATE="$${VMP_LAB_STATE:-/var/lib/vm-preserving-lab}-trixie" VMP_LAB_BRIDGE=vmplab1 VMP_LAB_SUBNET=10.213.78.0/24 \
		VMP_LAB_RELEASE=trixie VMP_LAB_HOSTS=1 VMP_LAB_DOMAINS=1 VMP_LAB_GUESTS=3 $(MAKE) molecule T=way_back

# An emulated host is slow: this has a target of its own, and a limit for each release.
machine:  ## run the scenario of confined guests on hosts with a kernel of their own, Debian 12 and 13
	@tests/tools/run_each --keep-going machine 'timeout 1800 $(MAKE) machine-of RELEASE=$$1' bookworm trixie

machine-of:
	@VMP_LAB_STATE="$${VMP_LAB_STATE:-/var/lib/vm-preserving-lab}-machine" VMP_LAB_BRIDGE=vmplab2 VMP_LAB_SUBNET=10.213.79.0/24 VMP_LAB_KIND=machine \
		VMP_LAB_RELEASE=$(RELEASE) VMP_LAB_HOSTS=1 VMP_LAB_DOMAINS=1 VMP_LAB_GUESTS=2 VMP_LAB_GUEST_MEMORY=128 $(MAKE) molecule T=machine

chaos: deps collection  ## break everything on the lab, and show that the promises hold
	@$(AS_IT_WAS) tests/chaos/run $(ARGS) || status=$$?; $(SO_AGAIN)

chaos-fast: deps collection  ## the same with a tenth of the faults
	@$(AS_IT_WAS) tests/chaos/run --fast || status=$$?; $(SO_AGAIN)

# --- the lab ----------------------------------------------------------------------------------------------------------------------------

lab-up: deps  ## start the lab: a fleet of hosts with guests, on this machine
	@tests/lab/lab up

lab-down:  ## stop the lab
	@tests/lab/lab down

demo: deps collection  ## show an update of the lab's fleet, from beginning to end
	@tests/lab/demo

bench: deps collection  ## measure the pauses, and what it costs to tell guests of them
	@tests/tools/deps bench
	@tests/bench/run && tests/bench/refresh && tests/bench/in_place && tests/bench/restart && tests/bench/events

report: venv mirror  ## look at the page of a report in a headless Chromium; pictures of it are left in .build/report
	@tests/tools/deps report
	@pytest -p no:cacheprovider tests/report

coverage: venv mirror  ## count which techniques a year's updates of Debian need
	@PYTHONPATH=$(BUILD)/src python3 tests/coverage/run

clean:  ## remove .venv and .build
	@rm -rf .venv .build

.PHONY: help deps venv mirror collection test test-all static unit lint changelog sanity artefact integration matrix matrix-fast matrix-of molecule molecule-all molecule-of molecule-trixie machine machine-of chaos chaos-fast lab-up lab-down demo bench report coverage clean
