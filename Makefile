# make demo    from nothing to the error table
# make test    lint, types, unit and end-to-end tests
# make soak    kills, faults and fuzzing at full length, then an hour each of generation and training (docs/reliability.md)
# make test-extras   tests of Ray, S3, Rerun, Warp and of pages in the system's Chromium (some 900 MB beside the pinned packages), and of each extra in an empty environment
# make coverage   the tests once more, counting the lines that they run; fails below the floor in pyproject.toml
# make docs    the documentation's pages, build/site: installs the extra docs beside the pinned packages first
# make setup   only the virtual environment and the system libraries

.PHONY: setup demo test suite test-extras coverage docs soak check format lock clean
.DEFAULT_GOAL := help

READY := .venv/ready
IN_TWO := pytest -n 2 --dist loadscope --no-loadscope-reorder

help:
	@sed -n 's/^# \(make .*\)/\1/p' Makefile

setup: $(READY)

$(READY): requirements.txt pyproject.toml scripts/setup.sh
	@bash scripts/setup.sh

demo: $(READY)
	@.venv/bin/dactyl demo

# Types are checked while the tests begin: mypy keeps one core busy for more than a minute.
test: $(READY)
	@$(MAKE) --no-print-directory --jobs 2 check suite

# One thread for each of the two test processes: torch's threads wait for each other where others have the cores.
suite: $(READY)
	@bash scripts/test_tools.sh
	OMP_NUM_THREADS=1 .venv/bin/$(IN_TWO)

coverage: $(READY)
	@rm -rf build/coverage && mkdir -p build/coverage
	OMP_NUM_THREADS=1 .venv/bin/coverage run -m $(IN_TWO)
	.venv/bin/coverage combine --quiet
	.venv/bin/coverage html --quiet --directory build/coverage/html --fail-under 0
	.venv/bin/coverage report --sort cover --skip-covered

# Not part of make test: Ray alone is 200 MB installed, Rerun 500, Warp 370.
test-extras: $(READY)
	VIRTUAL_ENV=$(CURDIR)/.venv .venv/bin/uv pip install --quiet --editable ".[ray,s3,viewer,unity,warp]" "moto[server]>=5" "playwright>=1.50"
	.venv/bin/pytest -n 0 tests/datagen/test_cluster.py tests/datagen/test_places.py tests/datagen/test_viewer.py \
	  tests/render/test_warp.py tests/train/test_warp_online.py tests/eval/test_report_browser.py
	.venv/bin/pytest -n 0 --install tests/e2e/test_extras.py

docs: $(READY)
	VIRTUAL_ENV=$(CURDIR)/.venv .venv/bin/uv pip install --quiet --editable ".[docs]"
	NO_MKDOCS_2_WARNING=1 .venv/bin/mkdocs build --quiet
	@echo build/site/index.html

# SHARE=0.1 for a tenth of the loops, MINUTES=6 of the hours
soak: $(READY)
	OMP_NUM_THREADS=1 LP_NUM_THREADS=1 .venv/bin/pytest -n 0 --timeout 0 --soak $(or $(SHARE),1) tests/faults tests/benchmarks
	bash scripts/soak.sh $(or $(MINUTES),60)

check: $(READY)
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy

format: $(READY)
	.venv/bin/ruff check --fix .
	.venv/bin/ruff format .

# Pin the newest dependencies that fit. The file names no package index, so it works behind any mirror.
lock:
	.venv/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	  --no-annotate --upgrade --extra all --extra unity --extra dev \
	  --custom-compile-command "make lock" -o requirements.txt pyproject.toml

clean:
	rm -rf .venv runs
