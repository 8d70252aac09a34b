# Two commands: `make study` runs the main job, `make test` the tests; both set up what they need.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: study outputs test check lint specs docs bench clean

study: .venv
	$(BIN)/prophet-xr study

outputs: study
	for what in offload cluster sensitivity simulate validation; do $(BIN)/prophet-xr $$what || exit 1; done

test: .venv
	$(BIN)/pytest -W error -n 2 --dist worksteal

check: lint test

lint: .venv
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/pyright
	$(BIN)/lint-imports

specs: .venv
	$(BIN)/prophet-xr specs build

docs: .venv
	for page in metrics inputs; do \
	  $(BIN)/prophet-xr $$page > docs/$$page.md.draft && mv docs/$$page.md.draft docs/$$page.md || exit 1; \
	done

bench: .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c requirements.txt xyzpy==1.3.5
	$(BIN)/python benchmarks/bench.py --out docs/performance.md

.venv: requirements.txt pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	touch .venv

clean:
	rm -rf .venv
