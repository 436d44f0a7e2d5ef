# make demo    from nothing to the error table
# make test    lint, types, unit and end-to-end tests
# make setup   only the virtual environment and the system libraries

.PHONY: setup demo test check format lock clean
.DEFAULT_GOAL := help

READY := .venv/ready

help:
	@sed -n 's/^# \(make .*\)/\1/p' Makefile

setup: $(READY)

$(READY): requirements.txt pyproject.toml scripts/setup.sh
	@bash scripts/setup.sh

demo: $(READY)
	@.venv/bin/dactyl demo

test: check
	@bash scripts/test_tools.sh
	.venv/bin/pytest -n 2 --dist loadscope

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
	  --no-annotate --upgrade --extra dev --extra export --custom-compile-command "make lock" -o requirements.txt pyproject.toml

clean:
	rm -rf .venv runs
