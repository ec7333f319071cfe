# The commands of this repository. `make help` lists them.
# Needs Debian 12 or 13, root, git, make and python3; everything else is installed by `make demo` or `make bootstrap`.

SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin
comma := ,
STAMP := $(VENV)/.installed
DEMO_STAMP := $(VENV)/.installed-demo
PROMTOOL := $(RUN)/promtool
AMTOOL := $(RUN)/amtool

# What the lab and the demo need, and what the tests and other targets need besides.
APT_DEMO := python3-venv qemu-system-x86 qemu-utils mmdebstrap iproute2 procps openssh-client openssh-server \
            netcat-openbsd fdisk e2fsprogs grub-pc-bin grub-common zstd
APT := $(APT_DEMO) nftables curl jq postgresql sudo shellcheck systemd \
       libpango-1.0-0 libpangoft2-1.0-0 libharfbuzz-subset0 fonts-dejavu-core chromium

APT_IMAGE := podman runc

APT_VAGRANT := vagrant vagrant-libvirt libvirt-daemon libvirt-daemon-system libvirt-clients dnsmasq-base dbus apt-utils \
               gnupg openssl iptables

# Which of the lab's own tests passed, for a week or until something of the lab changes; empty: all of them run.
LAB_TESTED ?= /var/cache/orchestrator-lab/tested

# Compiled modules are kept: the tests start the program more than a thousand times.
unexport PYTHONDONTWRITEBYTECODE

# NAME and PORTS of the demo count where they are given to make: some systems have a NAME in the environment.
ifneq ("$(origin NAME)","command line")
NAME := demo
endif
ifneq ("$(origin PORTS)","command line")
PORTS := 18006,18007
endif

.PHONY: help bootstrap apt apt-demo demo-needs demo demo-down test static format lint types unit api web lab acceptance acceptance-clean vagrant-test image-test package man docs faults reference bench clean

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

bootstrap: apt $(STAMP) $(PROMTOOL) $(AMTOOL) ## install everything: Debian packages, virtual environment

apt:
	@tools/apt-install $(APT)

apt-demo:
	@tools/apt-install $(APT_DEMO)

# $(call install,EXTRA,USUALLY): a virtual environment with the program and one set of what else is needed. Modules are
# compiled when they are imported first: most of those that are installed never are.
define install
@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed, this is " + sys.version.split()[0] if sys.version_info < (3, 11) else 0)'
@echo "==> virtual environment in $(VENV)"
@$(PYTHON) -m venv $(VENV)
@tools/patiently "installing Python packages" "$(2)" \
	$(RUN)/pip install --quiet --disable-pip-version-check --progress-bar off --no-compile -c constraints.txt -e '.[$(1)]'
endef

$(STAMP): pyproject.toml constraints.txt
	$(call install,dev,one to three minutes)
	@touch $@ $(DEMO_STAMP)

$(DEMO_STAMP): pyproject.toml constraints.txt
	$(call install,lab$(comma)web,a minute)
	@touch $@

$(PROMTOOL): $(STAMP)
	@tools/promtool $@

$(AMTOOL): $(STAMP)
	@tools/amtool $@

demo-needs: apt-demo $(DEMO_STAMP) ## install what the demo and the first hour need, and nothing for tests

demo: demo-needs ## two clients' files become running machines, and pages to see them: [NAME=demo PORTS=18006,18007]
	@PATH="$(CURDIR)/$(RUN):$$PATH" $(RUN)/python -m lab.demo up --name "$(NAME)" --ports "$(PORTS)"

demo-down: ## remove every trace of the demo: [NAME=demo]
	@if [ -x $(RUN)/python ]; then PATH="$(CURDIR)/$(RUN):$$PATH" $(RUN)/python -m lab.demo down --name "$(NAME)"; else echo "no demo here"; fi

test: bootstrap static unit api web lab ## every check
	@if [ -e build/unsteady.txt ]; then echo "unsteady tests, to be mended:"; cat build/unsteady.txt; fi

static: ## format, lint and types, side by side
	@$(MAKE) --no-print-directory --jobs 2 --output-sync=target format lint types

format: ## is everything formatted?
	$(RUN)/ruff format --check .

lint: ## the linters: Python, shell, Ansible
	$(RUN)/ruff check .
	shellcheck playbooks/roles/*/files/* tools/apt-install tools/patiently tools/promtool tools/amtool vagrant/bootstrap.sh tests/vagrant/*.sh tests/vagrant/standins/*
	cd playbooks && PATH="$(CURDIR)/$(RUN):$$PATH" ansible-lint --offline --profile production -q .

types: ## strict types
	$(RUN)/mypy

unit: ## pure functions
	$(RUN)/python -m tools.tests_of unit -q -n 2 --dist loadgroup tests/unit

api: ## against fakepve, over HTTPS; hostile files, guests and answers
	$(RUN)/python -m tools.tests_of api -q -n 6 --dist worksteal tests/api tests/hostile

web: ## the Interface's pages, in a real browser
	$(RUN)/python -m tools.tests_of web -q -n 2 --dist loadfile tests/web

lab: ## real guests, real packets (root)
	LAB_TESTED=$(LAB_TESTED) $(RUN)/python -m tools.tests_of lab -q -n 2 --dist loadfile --no-loadscope-reorder tests/lab
	@cat build/acceptance.txt

acceptance: $(STAMP) ## every scenario against a Proxmox VE of yours: INVENTORY=FOLDER
	@[ -n "$(INVENTORY)" ] || { echo "say which: make acceptance INVENTORY=inventories/mine (docs/acceptance.md)" >&2; exit 2; }
	ACCEPTANCE_INVENTORY="$(abspath $(INVENTORY))" $(RUN)/pytest -v tests/acceptance

acceptance-clean: $(STAMP) ## remove what an interrupted acceptance run left: INVENTORY=FOLDER
	@[ -n "$(INVENTORY)" ] || { echo "say which: make acceptance-clean INVENTORY=inventories/mine" >&2; exit 2; }
	ACCEPTANCE_INVENTORY="$(abspath $(INVENTORY))" $(RUN)/python -m tests.acceptance.cleaning

vagrant-test: bootstrap ## `vagrant up` for real, without KVM, with stand-ins for Proxmox's packages (root; ten minutes)
	@tools/apt-install $(APT_VAGRANT)
	PATH="$(CURDIR)/$(RUN):$$PATH" tests/vagrant/up.sh

image-test: bootstrap ## the container image, built and run for real (root; three minutes)
	@tools/apt-install $(APT_IMAGE)
	$(RUN)/pytest -q tests/image

package: $(STAMP) ## sdist and wheel, with playbooks and templates inside: build/dist
	$(RUN)/python -m hatchling build -d build/dist

man: $(STAMP) ## the man page: build/man/orchestrator.1
	$(RUN)/python -m tools.man build/man/orchestrator.1

faults: bootstrap ## write docs/faults.md anew: every fault at every call
	WRITE_FAULTS=1 $(RUN)/pytest -q -n 2 tests/api/test_fault_table.py

docs: $(STAMP) ## build the documentation site into build/site; a broken link is an error, as in `make unit`
	@rm -rf build/site
	$(RUN)/sphinx-build -q -W --keep-going -d build/doctrees docs build/site
	@echo "build/site/index.html"

reference: $(STAMP) ## write docs/reference and docs/messages.md anew, from the program
	$(RUN)/python -m tools.reference
	$(RUN)/python -m tools.messages

bench: bootstrap ## speed and size, as counts and ratios
	$(RUN)/python -m bench

clean: ## remove the virtual environment and caches
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis *.egg-info
