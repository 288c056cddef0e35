# Every target is a line that one could type. uv is installed when it is missing.
.DEFAULT_GOAL := help
UV := $(shell command -v uv 2>/dev/null || echo .uv/bin/uv)
RUN := $(UV) run --locked --no-sync
# Files of tests side by side, in the order of their names, so that the longest do not come last.
PARALLEL := -n logical --maxprocesses 4 --dist loadfile --no-loadscope-reorder
# BentoML calls uv when it builds.
export PATH := $(CURDIR)/.uv/bin:$(PATH)

.PHONY: help install repro tune status estimates ui serve monitor test test-fast test-peers lint format audit bench quality

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

.uv/bin/uv:
	python3 -m pip install --quiet --disable-pip-version-check --target .uv uv
	@echo 'uv is in .uv/bin now. In every shell, for the commands `uv run …` of the docs:'
	@echo '    export PATH="$$PWD/.uv/bin:$$PATH"'

install: $(if $(findstring .uv,$(UV)),.uv/bin/uv)  ## create .venv from the lock file
	@$(UV) sync --locked --compile-bytecode --quiet

repro: install  ## run the whole cycle: plan, collect, label, train, test, deploy, monitor
	@since=$$(date +%s); $(RUN) dvc repro; \
	$(RUN) python -m pipeline.lifecycle summary --exit-code $$? --since $$since

tune: install  ## search better hyper-parameters of the ranker; goes on where it stopped
	$(RUN) python -m pipeline.training.search

status: install  ## say which phase is healthy, and where to look
	$(RUN) python -m pipeline.lifecycle status

estimates: install  ## hold what planning estimated against what the phases took and the model reached
	$(RUN) python -m pipeline.lifecycle estimates

ui: install  ## review cycles, phases, datasets and models in MLflow; the link to open is printed first
	@$(RUN) python -m pipeline.lifecycle runs
	$(RUN) mlflow ui --backend-store-uri sqlite:///mlflow.db --host 127.0.0.1 --port 5000

serve: install  ## serve the champion at http://127.0.0.1:3000
	$(RUN) python -m pipeline.serving

monitor: install  ## replay the weeks after as_of through the champion and judge it
	$(RUN) dvc repro --single-item --force monitoring

lint: install  ## format check, lint, types, import layers
	$(RUN) ruff format --check .
	$(RUN) ruff check .
	$(RUN) mypy
	$(RUN) lint-imports

format: install  ## format and mend what ruff can mend
	$(RUN) ruff format .
	$(RUN) ruff check --fix .

test: lint  ## lint, then all tests with coverage, the end-to-end run included
	$(RUN) python -m pytest $(PARALLEL) -m "not peers" --cov --cov-report=term

test-fast: install  ## the inner loop: under a minute
	$(RUN) python -m pytest $(PARALLEL) -m "not slow and not peers" -x -q

test-peers: .venv-bench  ## the tests of the packages that `make quality` compares with
	.venv-bench/bin/python -m pytest -m peers -q tests/model/test_peers.py

audit: install  ## hold the locked packages against the known vulnerabilities
	$(RUN) python .ci/audit.py

bench: install  ## measure the budgets of the README; results go to benchmarks/results
	$(RUN) python -m benchmarks.lifecycle.cycle
	$(RUN) python -m benchmarks.serving --soak-seconds 600
	$(RUN) python -m benchmarks.lifecycle.readme

.PHONY: .venv-bench
.venv-bench: $(if $(findstring .uv,$(UV)),.uv/bin/uv)
	@UV_PROJECT_ENVIRONMENT=.venv-bench $(UV) sync --locked --group bench --quiet

quality: .venv-bench  ## every method, both protocols, three cut-offs; peers live in an environment of their own
	.venv-bench/bin/python -m benchmarks.quality
