PYTHON ?= .venv/bin/python
BIN = $(dir $(PYTHON))

.PHONY: setup check test test-all coverage docs site notebooks bench gate build
setup:      ; python3 -m venv .venv && .venv/bin/pip install -c constraints.txt -e '.[dev]'
check:      ; $(BIN)ruff format --check . && $(BIN)ruff check . && $(BIN)mypy && $(BIN)lint-imports && $(PYTHON) docs/build.py --check && $(PYTHON) docs/keywords.py --check
test:       ; $(BIN)pytest
test-all:   ; $(BIN)pytest --all
coverage:   ; $(BIN)pytest --all --cov
docs:       ; $(PYTHON) docs/build.py && $(PYTHON) docs/keywords.py
notebooks:  ; $(BIN)pytest -n0 --nbmake notebooks
bench:      ; $(PYTHON) -m benchmarks --quick --write docs/benchmarks.md
gate:       ; $(PYTHON) -m benchmarks --gate
build:      ; $(PYTHON) -m pip wheel --no-deps -w dist .
