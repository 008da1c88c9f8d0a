# What a clone can do. On Debian as root each target installs what it needs; elsewhere it says in one
# line what is missing. PYTHON chooses the interpreter, ARGS goes to pytest (make test ARGS="-k demo").

SHELL := /bin/bash
PYTHON ?= $(shell for p in python3 python3.11 python3.12 python3.13 python3.14; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && echo $$p && break; done)
VENV := .venv
BIN := $(VENV)/bin
NATIVE := $(wildcard native/Cargo.toml native/Cargo.lock native/src/*.rs)

# $(call install,PACKAGES,WHAT): Debian's packages where we may, a line that names them where we may not.
define install
if [ -f /etc/debian_version ] && [ "$$(id -u)" = 0 ]; then echo "installing $(2)" >&2; \
	apt-get update -q >/dev/null && DEBIAN_FRONTEND=noninteractive \
	apt-get install -qy --no-install-recommends $(1) >/dev/null; \
else echo "missing: $(2). On Debian or Ubuntu: sudo apt-get install $(1)" >&2; exit 1; fi
endef

# Whether there is a Rust that builds the native engine (the crate needs 1.85).
has_rust = cargo --version 2>/dev/null | awk '{split($$2, v, "."); new = v[1] > 1 || v[2] >= 85} END {exit !new}'

# Some images ask Python to keep nothing that it compiled: each of a run's workers, and each of the hundreds of
# processes that they start, would then compile all that it loads anew.
unexport PYTHONDONTWRITEBYTECODE

# Most of the suite waits for processes: six at a time keep two cores busy. One file's tests stay together, since
# they share its servers. The longest files come first (tests/support/order.py).
PARALLEL ?= -n 6 --dist loadfile --no-loadscope-reorder

# The part that starts no process: a heartbeat while one works. What counts lines in large worlds is left to the suite.
QUICK := tests/test_laws.py tests/test_words.py tests/test_scenarios.py tests/test_config.py tests/dns tests/answers/test_policies.py \
	tests/answers/test_records.py tests/answers/test_service.py tests/explain tests/pipeline \
	tests/registry/test_formats.py tests/registry/test_labels.py tests/registry/test_merge.py \
	tests/registry/test_overrides.py tests/registry/test_service_tree.py tests/registry/test_state.py \
	tests/health/test_consensus.py tests/health/test_guard.py tests/health/test_judge.py \
	tests/health/test_targets.py tests/health/test_thresholds.py tests/serve/test_respond.py \
	--ignore=tests/explain/test_churn.py --ignore=tests/pipeline/test_routes_cost.py \
	--ignore=tests/pipeline/test_cost_of_instances.py --ignore=tests/pipeline/test_cost_of_many.py \
	--ignore=tests/pipeline/test_cost_of_names.py

.PHONY: help venv rust zookeeper ensemble programs axe wheels musl deb packages demo test quick check check-python check-native miri \
	bench matrix simulate soak kills alerts fuzz clean

help:
	@echo "make demo   a real ZooKeeper, sample services, the server and its page, on loopback"
	@echo "make test   all tests (ARGS=... goes to pytest)      make quick  those that start no process"
	@echo "make check  what CI runs: lint, types, the native engine's own checks, all tests"
	@echo "make wheels, make deb   what is given to others, in dist/        make packages   both, the image and compose, tried"
	@echo "make bench  the numbers of the README        make soak, make fuzz, make simulate, make alerts  longer runs"
	@echo "make matrix  the mirror and the commands beside ZooKeeper 3.5, 3.8 and 3.9, and registrars of others, from Maven"

venv: $(VENV)/ready

# What is installed into the environment: with all that develops it, or by itself.
$(VENV)/ready: WHAT = .[dev]
$(VENV)/bare: WHAT = .

$(VENV)/ready $(VENV)/bare: pyproject.toml constraints.txt $(NATIVE) | rust
	@[ -n "$(PYTHON)" ] || { $(call install,python3 python3-venv,Python 3.11 or newer); }
	@$(or $(PYTHON),python3) -c 'import ensurepip' 2>/dev/null || { $(call install,python3-venv,Python'\''s venv); }
	@[ -x $(BIN)/python ] || $(or $(PYTHON),python3) -m venv $(VENV)
	@rm -f zkdns/_native*.so  # an engine that does not build any more must not leave the one before it
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '$(WHAT)'
	@touch $@

# In CI both engines are tested, so there it must be. Debian 12 has a Rust that is new enough by another name.
rust:
	@[ -z "$$CI" ] || { $(has_rust); } || { . /etc/os-release; if [ "$$VERSION_ID" = 12 ]; then \
		$(call install,cargo-web rustfmt-web rust-web-clippy gcc libc6-dev,Rust 1.85 or newer); else \
		$(call install,cargo rustfmt rust-clippy gcc libc6-dev,Rust 1.85 or newer); fi; }

# What the tests and the demo run beside Python: ZooKeeper itself, dig, and what makes certificates.
zookeeper: venv
	@$(MAKE) --silent --no-print-directory ensemble
	@command -v openssl >/dev/null || { $(call install,openssl,openssl); }
	@[ -z "$$CI" ] || command -v systemd-analyze >/dev/null || { $(call install,systemd procps,systemd-analyze); }

ensemble:
	@$(BIN)/python -c 'from zkdns.ensemble import find; find()' 2>/dev/null \
		|| { $(call install,zookeeper,ZooKeeper and Java); }
	@command -v dig >/dev/null || { $(call install,bind9-dnsutils,dig); }

# What other programs the tests run: upstreams and judges, a container's C libraries, and the clients and
# registrars of tests/interop. The browser is for CI; elsewhere its tests are skipped where it is missing.
programs: export PATH := $(PATH):/usr/sbin:/sbin:/usr/local/go/bin
programs:
	@for p in knotd unbound gcc musl-gcc ip unshare curl; do command -v $$p >/dev/null \
		|| { $(call install,knot unbound gcc libc6-dev musl-tools iproute2 util-linux curl,$$p); break; }; done
	@for p in haproxy nginx dnsmasq prometheus node go; do command -v $$p >/dev/null \
		|| { $(call install,haproxy nginx-light dnsmasq-base prometheus nodejs golang-go,$$p); break; }; done
	@command -v javac >/dev/null || { $(call install,default-jdk-headless,a JDK); }
	@[ -f /usr/share/java/curator-x-discovery.jar -a -f /usr/share/java/curator-recipes.jar ] \
		|| { $(call install,libcurator-discovery-java libcurator-recipes-java,Curator); }
	@[ -z "$$CI" ] || for p in chromium chromedriver; do command -v $$p >/dev/null \
		|| { $(call install,chromium chromium-driver,$$p); break; }; done
	@[ -z "$$CI" ] || $(MAKE) --silent --no-print-directory $(AXE)

# axe-core, which judges the page, is one file; this wheel has it, and nothing of it is installed.
AXE := build/axe/axe.min.js

axe: $(AXE)

$(AXE): | venv
	$(BIN)/python -m pip download --quiet --disable-pip-version-check --no-deps -d build/axe axe-playwright-python==0.1.8
	$(BIN)/python -c 'import glob, sys, zipfile; sys.stdout.buffer.write(zipfile.ZipFile(*glob.glob("build/axe/*.whl")).read("axe_playwright_python/axe.min.js"))' >$@.part
	mv $@.part $@

# Nothing that only developers need: an environment that has that already is taken as it is.
demo:
	@[ -f $(VENV)/ready ] || [ -f $(VENV)/bare ] || echo "installing zkdns into $(VENV), with its compiled engine" \
		"where there is a Rust: this takes a minute or two, once"
	@$(MAKE) --silent --no-print-directory $$([ -f $(VENV)/ready ] && echo venv || echo $(VENV)/bare)
	@$(MAKE) --silent --no-print-directory ensemble || true
	@$(BIN)/zkdns demo

test: venv zookeeper programs
	@# What failed beside five others is asked once more, alone: a busy machine's doing does not fail again.
	$(BIN)/python -m pytest $(PARALLEL) $(ARGS) \
		|| $(BIN)/python -m pytest --last-failed --last-failed-no-failures none $(ARGS)

quick: venv
	$(BIN)/python -m pytest -q -n 2 --dist worksteal $(QUICK) --hypothesis-profile=quick $(ARGS)

check: check-python check-native test

check-python: venv
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	@# What is compiled of the tests is kept. Six workers that begin at once would each compile all of it: one does,
	@# beside mypy, which leaves a core free.
	@$(BIN)/python -m pytest --collect-only -q >/dev/null 2>&1 & \
		echo $(BIN)/mypy; $(BIN)/mypy; code=$$?; wait; exit $$code

# Rust is optional, for us as for who installs: plain Python serves without it.
check-native: rust
	@if ! { $(has_rust); }; then \
		echo "no Rust 1.85 here: the native engine is not checked"; \
	else set -e; cd native; \
		cargo fmt --check; \
		cargo clippy --quiet --locked --all-targets --no-default-features -- -D warnings; \
		cargo clippy --quiet --locked --lib -- -D warnings; \
		cargo test --quiet --locked --no-default-features; \
	fi

# What of the native engine reads memory as another type, watched by miri (a nightly Rust with that component).
miri:
	@rustup component list --toolchain nightly --installed 2>/dev/null | grep -q '^miri' \
		|| { echo "missing: miri. rustup toolchain install nightly --component miri,rust-src" >&2; exit 1; }
	cd native && MIRIFLAGS=-Zmiri-disable-isolation cargo +nightly miri test --locked --no-default-features --lib socket::

# What is given to others, in dist/. One wheel for each Python from 3.11 on and each Linux with glibc 2.17 or newer:
# zig links it for that one, whatever this machine has.
TOOLS := build/tools

$(TOOLS)/ready: pyproject.toml constraints.txt
	@$(or $(PYTHON),python3) -c 'import ensurepip' 2>/dev/null || { $(call install,python3-venv,Python'\''s venv); }
	$(or $(PYTHON),python3) -m venv $(TOOLS)
	@$(or $(PYTHON),python3) -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"]["packages"], sep="\n")' \
		> $(TOOLS)/wanted
	$(TOOLS)/bin/pip install --quiet --disable-pip-version-check -c constraints.txt -r $(TOOLS)/wanted
	@touch $@

# $(call wheel,TARGET,FOLDER)
define wheel
ZKDNS_BUILD=native CARGO=cargo-zigbuild CARGO_BUILD_TARGET=$(1) CARGO_TARGET_DIR=$(CURDIR)/build/cargo \
	python -m build --wheel --no-isolation -o $(2) . >$(2).log 2>&1 || { tail -n 40 $(2).log; exit 1; }
endef

wheels: export PATH := $(CURDIR)/$(TOOLS)/bin:$(PATH)
wheels: rust $(TOOLS)/ready
	rm -rf build/wheel build/musl dist/*.whl
	$(call wheel,$$(uname -m)-unknown-linux-gnu.2.17,build/wheel)
	auditwheel repair --wheel-dir dist build/wheel/*.whl
	@$(MAKE) --silent --no-print-directory musl

# The same for musl (Alpine), where this Rust has its library: rustup's has, Debian's has not. musl's loader takes
# its library by any name that begins with "libc."; auditwheel knows the one that Alpine has.
musl: export PATH := $(CURDIR)/$(TOOLS)/bin:$(PATH)
musl: MUSL = $$(uname -m)-unknown-linux-musl
musl: rust $(TOOLS)/ready
	@! command -v rustup >/dev/null || rustup --quiet target add $(MUSL) || true
	@if [ ! -d "$$(rustc --print sysroot)/lib/rustlib/$(MUSL)/lib" ]; then \
		echo "this Rust has no library for musl: there is no wheel for Alpine"; \
	else set -e; rm -rf build/musl dist/*musllinux*.whl; \
		$(call wheel,$(MUSL),build/musl); \
		wheel unpack -d build/musl/open build/musl/*.whl >/dev/null; \
		patchelf --replace-needed libc.so libc.musl-$$(uname -m).so.1 build/musl/open/*/zkdns/_native.abi3.so; \
		mkdir -p build/musl/packed; \
		wheel pack -d build/musl/packed build/musl/open/* >/dev/null; \
		auditwheel repair --wheel-dir dist build/musl/packed/*.whl; fi

# For the Debian or Ubuntu that this is, whose Python it is made for.
deb: wheels
	@/usr/bin/python3 -c 'import ensurepip, sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
		|| { $(call install,python3 python3-venv,Debian'\''s Python 3.11 or newer); }
	/usr/bin/python3 deploy/deb.py dist/*manylinux*.whl dist

# The image, compose, the wheel and the Debian package, tried as people use them. Docker or Podman where one runs
# containers, else the Dockerfile's steps one by one; the last lines say which.
packages: TRIED_WITH := podman runc netavark aardvark-dns iptables mmdebstrap systemd-container bind9-dnsutils
packages: venv deb
	@dpkg --status $(TRIED_WITH) >/dev/null 2>&1 || { $(call install,$(TRIED_WITH),what tries the packages); }
	ZKDNS_PACKAGES=1 $(BIN)/python -m pytest tests/packages $(ARGS)

# What asks ZooKeeper, on each line of it that people run, whatever this machine has: make matrix ZOOKEEPERS=3.9.3
ZOOKEEPERS ?= 3.5.10 3.8.4 3.9.3

build/zookeeper/%/ready: tests/fixtures/zookeeper/pom.xml
	@command -v mvn >/dev/null || { $(call install,maven,Maven); }
	mvn -q -B -f $< -Dzookeeper=$* org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies \
		-DincludeScope=runtime -DoutputDirectory=$(CURDIR)/build/zookeeper/$*/lib
	@touch $@

# Registrars that others wrote, as they are: what they write is what we read.
WRITERS := dubbo finagle spring

build/writers/%/ready: tests/fixtures/writers/%/pom.xml
	@command -v mvn >/dev/null || { $(call install,maven,Maven); }
	mvn -q -B -f $< org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies \
		-DincludeScope=runtime -DoutputDirectory=$(CURDIR)/build/writers/$*/lib
	@touch $@

matrix: venv zookeeper $(ZOOKEEPERS:%=build/zookeeper/%/ready) $(WRITERS:%=build/writers/%/ready)
	@command -v javac >/dev/null || { $(call install,default-jdk-headless,a JDK); }
	ZKDNS_WRITERS=$(CURDIR)/build/writers $(BIN)/python -m pytest -q tests/writers $(ARGS)
	@set -e; for v in $(ZOOKEEPERS); do echo "ZooKeeper $$v"; ZOOKEEPER_HOME=$(CURDIR)/build/zookeeper/$$v \
		$(BIN)/python -m pytest -q tests/registry/test_zookeeper.py tests/registry/test_acl.py tests/registry/test_nodes.py \
		tests/registry/test_sasl.py tests/blackbox/test_login.py tests/blackbox/test_operator.py $(ARGS); done

bench: venv zookeeper
	$(BIN)/python -m bench $(ARGS)

# Worlds in memory, from a seed on, until one breaks a law: make simulate ARGS="--seconds 600 --seed 1".
simulate: venv
	cd tests && $(abspath $(BIN))/python -m simulation $(ARGS)

soak: venv zookeeper
	$(BIN)/python -m bench.soak $(ARGS)

# The journal of a server that is killed at a hundred random moments under churn (the suite has four).
kills: venv zookeeper
	ZKDNS_KILLS=100 $(BIN)/python -m pytest -q --timeout 3600 tests/blackbox/test_history.py -k killed $(ARGS)

# A fresh ensemble, a real Prometheus and the rules of deploy/, for ten minutes: none may ring.
alerts: venv zookeeper programs
	$(BIN)/python -m bench.alerts $(ARGS)

# Guided by coverage where atheris installs (it has no wheel for every Python and machine), else by seed alone.
fuzz: venv
	@$(BIN)/python -c 'import atheris' 2>/dev/null \
		|| $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[fuzz]' \
		|| echo "no atheris here: seeded mutations, not guided by coverage" >&2
	$(BIN)/python -m bench.fuzz $(ARGS)

clean:
	rm -rf $(VENV) build dist zkdns/_native*.so *.egg-info native/target .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find zkdns tests bench -name __pycache__ -prune -exec rm -rf {} +
