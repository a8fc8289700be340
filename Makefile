.DEFAULT_GOAL := help
SHELL := /bin/bash
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

QUICK := $(addprefix tests/,core limits wire policies config tls routing stages upstream exchange \
  test_imports.py test_circles.py test_compiled.py test_serve_traffic.py) \
  $(addprefix tests/proxy/test_live_,exchange.py http2.py retries.py)

help:  ## List the targets.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: $(VENV)/build  ## Compile what has changed since it was compiled last; all other targets do so.
	@$(BIN)/python setup.py -q build_ext --inplace

wheel: $(VENV)/dev  ## Make a source distribution, and from it a wheel for this Python, in dist/.
	@$(BIN)/python -m build --no-isolation
	@ls -l dist

arena: $(VENV)/sim build  ## Compare all policies in all scenarios, in simulated time (arena.html; about ten minutes).
	@$(BIN)/smartlb arena --html arena.html --json arena.json $(ARGS)

demo: $(VENV)/demo build  ## See the learned policy beside round robin and least connections, on real servers (90 s).
	@$(BIN)/smartlb demo $(ARGS)

quick: $(VENV)/dev build  ## What a change needs in a minute: lint of changed files, tests of the pure parts, a few live ones.
	@changed=$$(git diff --name-only --diff-filter=d HEAD -- '*.py' '*.pyi'; git ls-files --others --exclude-standard -- '*.py' '*.pyi'); \
	  test -z "$$changed" || { $(BIN)/ruff check $$changed && $(BIN)/ruff format --check $$changed; }
	@$(BIN)/pytest -q -n 2 --dist loadfile $(QUICK) $(ARGS)

# A file's tests stay together: some share a router, and all expect a core of their own.
test: $(VENV)/dev build  ## Run all tests (ARGS="-k tls" for some).
	@$(BIN)/pytest -n 2 --dist loadfile $(ARGS)

fuzz: $(VENV)/dev build  ## Fuzz the message framing for a few minutes, with other examples each time (FUZZ_EXAMPLES=20000).
	@FUZZ_EXAMPLES=$${FUZZ_EXAMPLES:-20000} $(BIN)/pytest tests/proxy/test_smuggling_fuzz.py tests/wire/test_llhttp.py $(ARGS)

check: lint test  ## Lint, type-check and test.

lint: $(VENV)/dev build  ## Lint and type-check.
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

bench: $(VENV)/dev build  ## All benchmarks, beside the proxies that are installed (an hour and a half).
	@mkdir -p bench-results
	@$(BIN)/python -m benchmarks.pick --json bench-results/pick.json
	@$(BIN)/python -m benchmarks.stages --json bench-results/stages.json
	@$(BIN)/python -m benchmarks.routing --json bench-results/routing.json
	@$(BIN)/python -m benchmarks.overload --json bench-results/overload.json
	@$(BIN)/python -m benchmarks.idle --json bench-results/idle.json
	@$(BIN)/python -m benchmarks.simulator --json bench-results/simulator.json
	@$(BIN)/python -m benchmarks.reality --json bench-results/reality.json
	@$(BIN)/python -m benchmarks.abuse --json bench-results/abuse.json
	@$(BIN)/python -m benchmarks.tls --json bench-results/tls.json
	@$(BIN)/python -m benchmarks.tcp --json bench-results/tcp.json
	@$(BIN)/python -m benchmarks.http2 --json bench-results/http2.json
	@$(BIN)/python -m benchmarks.http2 --tls --json bench-results/http2-tls.json
	@$(BIN)/python -m benchmarks.learning --json bench-results/learning.json
	@$(BIN)/python -m benchmarks.live --json bench-results/live.json
	@$(BIN)/python -m benchmarks.proxy --json bench-results/proxy.json $(ARGS)

chaos: $(VENV)/dev build  ## Kill, stop, reset and reload everything under load: what is lost (90 s).
	@$(BIN)/python -m benchmarks.chaos --json bench-results/chaos.json $(ARGS)

soak: $(VENV)/dev build  ## An hour of load: what grows (ARGS="--seconds 600" for less).
	@$(BIN)/python -m benchmarks.soak --json bench-results/soak.json $(ARGS)

models: $(VENV)/sim build  ## Train the checkpoints in models/ again, and measure them (about a minute).
	@$(BIN)/smartlb train class_affinity --out models/class_affinity
	@$(BIN)/smartlb train models/cpu_gpu/cpu_gpu.yaml --out models/cpu_gpu

docs: $(VENV)/dev build  ## Write the generated pages again.
	@$(BIN)/python -m smartlb.config.reference > docs/configuration.md
	@$(BIN)/python -m simulator.reference > docs/scenarios.md

notebooks: $(VENV)/dev build  ## Run the notebooks and store them with their outputs (two minutes).
	@$(BIN)/python notebooks/execute.py $(ARGS)

clean:  ## Remove the virtual environment and all that was made.
	@rm -rf $(VENV) .venv-lowest build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis bench-results demo-results arena-results arena.html arena.json
	@find smartlb -name '*.so' -delete

# What smartlb is built with, by pyproject.toml.
$(VENV)/build: pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing into $(VENV) what smartlb is built with ..."
	@$(BIN)/python -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["build-system"]["requires"], sep="\n")' \
	  | $(BIN)/pip install --quiet --disable-pip-version-check --requirement /dev/stdin
	@touch $@

# Each set of packages is installed once, and again when pyproject.toml changes.
$(VENV)/demo $(VENV)/sim $(VENV)/dev: $(VENV)/%: pyproject.toml $(VENV)/build
	@echo "installing into $(VENV) ..."
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-build-isolation --editable '.[$*]'
	@touch $@

# What is installed comes before what is compiled with it.
.NOTPARALLEL:

.PHONY: build wheel quick chaos soak models help arena demo test fuzz check lint bench docs notebooks clean
