# Short names for developers; nothing here is needed to use Campana.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: check test fast lint types imports docs api golden serve bench js node-ric clean

check: lint types imports fast  ## what to run before a commit

$(BIN)/ruff:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -q -e '.[dev]'

lint: $(BIN)/ruff
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: $(BIN)/ruff
	$(BIN)/mypy

imports: $(BIN)/ruff
	$(BIN)/lint-imports

fast: $(BIN)/ruff  ## the tests without the whole-server stories
	$(BIN)/python -m pytest -q --ignore tests/stories

test: $(BIN)/ruff
	$(BIN)/python -m pytest

api: $(BIN)/ruff  ## the contract from botocore's service models
	$(BIN)/python tools/generate_api.py

docs: $(BIN)/ruff
	$(BIN)/python tools/generate_docs.py

golden: $(BIN)/ruff  ## rewrite the golden exchanges; review them as a diff
	CAMPANA_GOLDEN=1 $(BIN)/python -m pytest -q tests/wire/test_golden.py

serve: $(BIN)/ruff
	$(BIN)/campana serve --reload-processors

bench: $(BIN)/ruff
	$(BIN)/python -m bench

js:  ## the JavaScript clients that tests/stories talks through
	cd tests/js && npm install --no-audit --no-fund --no-save

node-ric:  ## AWS's own runtime client for Node functions: builds for a minute, with a compiler (Debian's packages)
	apt-get install -y --no-install-recommends autoconf automake libtool cmake g++ make python3
	cd tests/js && npm install --no-audit --no-fund --no-save aws-lambda-ric

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis tests/js/node_modules
