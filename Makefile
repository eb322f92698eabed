# Everything a developer runs; the work is done by small scripts under tests/.
.DEFAULT_GOAL := help
.PHONY: help setup demo demo-clean bundle lint docs test-fast test test-all test-gpu test-matrix compatibility release bench bench-no-change bench-serving bench-fleet bench-plan bench-plan-speed bench-plan-engine bench-gateway clean

help:
	@echo "make setup       tools and this collection in .venv"
	@echo "make demo        three model endpoints on a test host of this machine, then their speeds"
	@echo "make demo-clean  remove what the demo made"
	@echo "make bundle      all that hosts without the internet need, in one verified directory"
	@echo "make lint        format, types, roles, playbooks, documentation"
	@echo "make docs        the documentation as a site, build/docs/html/index.html"
	@echo "make test-fast   lint and unit tests"
	@echo "make test        test-fast, sanity, package, documentation, AWX, and the scenarios on real systemd hosts, about an hour"
	@echo "make test-all    the scenarios that keep engines busy for many minutes as well"
	@echo "make test-gpu    real GPUs: what the machine at hand can run; it prints the rest"
	@echo "make test-matrix ansible-test on every ansible-core and Python that the collection supports"
	@echo "make compatibility  docs/compatibility.md of what was run in this checkout, and what was not"
	@echo "make release VERSION=1.0.0  its version and its changelog, to look at and to commit"
	@echo "make bench       what all of it costs, measured into docs/benchmarks.md; two hours and the machine for itself"
	@echo "make bench-no-change, bench-serving, bench-fleet  one part of that"
	@echo "make bench-plan  how fast plans are made, and whether the real engine agrees with them"
	@echo "make bench-gateway  what the gateway adds to an engine, measured into docs/gateway-overhead.md"
	@echo "make clean       remove .venv and the test hosts of this checkout"

setup: .venv/.setup

.venv/.setup: requirements-dev.txt tests/tools/setup tests/tools/find-python
	@tests/tools/setup

demo: setup
	@tests/testbed/in-testbed tests/testbed/demo up

demo-clean:
	@tests/testbed/in-testbed tests/testbed/demo down
	@tests/testbed/in-testbed --remove

# VARS is a file of the hosts' variables, DIR the directory to make (docs/air-gapped.md).
DIR = build/bundle
bundle: setup
	@.venv/bin/ansible-playbook playbooks/bundle.yml -e vllm_bundle_dir=$(abspath $(DIR)) $(if $(VARS),-e @$(VARS))

lint: setup
	@tests/tools/lint

docs: setup
	@.venv/bin/python tests/tools/build_docs.py

test-fast: setup
	@PYTHONPATH=.venv/collections .venv/bin/python tests/tools/run_tests.py --fast

# SCENARIOS="runtime models" runs these only.
test: setup
	@PYTHONPATH=.venv/collections .venv/bin/python tests/tools/run_tests.py $(SCENARIOS)

test-all: setup
	@PYTHONPATH=.venv/collections .venv/bin/python tests/tools/run_tests.py --all

# What can run: INVENTORY=a GPU host, KIT=a kit for a bare GPU machine, ENGINE=the Python of an engine (tests/gpu/README.md).
test-gpu: setup
	@PYTHONPATH=.venv/collections .venv/bin/python -m ansible_collections.llmops.inference.tests.gpu.everything \
	  $(if $(INVENTORY),--inventory $(INVENTORY)) $(if $(KIT),--kit $(KIT)) $(if $(ENGINE),--engine $(ENGINE)) $(if $(GPUS),--gpus $(GPUS))

test-matrix: setup
	@PYTHONPATH=.venv/collections .venv/bin/python tests/tools/core_matrix.py

compatibility: setup
	@PYTHONPATH=.venv/collections .venv/bin/python tests/tools/compatibility.py

release: setup
	@tests/tools/release "$(VERSION)"

# Each measures ratios within one run; the page is written from what all of them have kept.
bench: bench-no-change bench-serving bench-fleet bench-plan bench-gateway

BENCHMARK = PYTHONPATH=.venv/collections tests/testbed/in-testbed python tests/bench
bench-no-change: setup
	@$(BENCHMARK)/no_change.py && $(BENCHMARK)/page.py

bench-serving: setup
	@$(BENCHMARK)/serving.py && $(BENCHMARK)/page.py

bench-fleet: setup
	@$(BENCHMARK)/fleet.py && $(BENCHMARK)/page.py

# PARTS=speed or PARTS=engine does one part only; HOSTS="1 100" plans for so many hosts only.
PARTS = speed engine
bench-plan: $(PARTS:%=bench-plan-%)

bench-plan-speed: setup
	@PYTHONPATH=.venv/collections .venv/bin/python tests/bench/plan_speed.py $(if $(HOSTS),--hosts $(HOSTS))
	@PYTHONPATH=.venv/collections .venv/bin/python tests/bench/page.py

# Half an hour; nothing else should use much memory meanwhile.
bench-plan-engine: setup
	@PYTHONPATH=.venv/collections tests/testbed/in-testbed python tests/bench/plan_against_engine.py

bench-gateway: setup
	@tests/testbed/in-testbed python tests/bench/gateway.py

clean:
	@! command -v podman >/dev/null || tests/testbed/in-testbed tests/testbed/host clean
	rm -rf .venv build
