# make quickstart   a fresh machine -> a trained, evaluated and explained model        make test   the whole test suite
# make lint         ruff and pyright                                                   PYTHON=... another interpreter, 3.11 or 3.12
# Each prints the plain commands that it runs.

PYTHON ?= $(shell for p in python3.11 python3.12 python3; do $$p -c 'import sys; sys.exit(sys.version_info[:2] not in [(3, 11), (3, 12)])' 2>/dev/null && echo $$p && break; done)

.PHONY: quickstart test lint

quickstart: .venv/installed
	.venv/bin/gnnkg quickstart

test: .venv/installed
	.venv/bin/python -m pytest -n 2 --dist loadfile

lint: .venv/installed
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/pyright --pythonpath .venv/bin/python

# Installs again only where the versions or the dependencies have changed.
.venv/installed: pyproject.toml constraints.txt
	$(if $(PYTHON),,$(error gnnkg needs Python 3.11 or 3.12: install one, or name it with make PYTHON=...))
	test -x .venv/bin/python || $(PYTHON) -m venv .venv
	.venv/bin/python -m pip install --disable-pip-version-check -c constraints.txt -e '.[test,dev]'
	touch $@
