# Short names for developers; nothing here is needed to use Campana.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

export CONFORMANCE_REPORT ?= docs/reference/conformance.json

.PHONY: check test test-postgres test-deploy chaos conformance fast lint types imports docs api golden serve bench bench-scale bench-peers bench-compare bench-capacity js node-ric clean

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

test-postgres: $(BIN)/ruff  ## all tests on PostgreSQL, of URL=postgresql://… or a private server, and those of several nodes
	$(BIN)/python -m pytest --postgres=$(URL)

test-deploy: $(BIN)/ruff  ## what is in deploy/: rendered, linted, read by its own programs
	$(BIN)/python -m pytest -q deploy

chaos: $(BIN)/ruff  ## three nodes and what they stand on, broken under load for MINUTES (4); SEED repeats a run
	$(BIN)/python -m chaos

conformance: $(BIN)/ruff  ## the API as its clients see it; the outcome goes into docs/reference/operations.md
	$(BIN)/python -m pytest -q --confcutdir tests/conformance tests/conformance --conformance-report $(CONFORMANCE_REPORT); \
	  outcome=$$?; $(BIN)/python tools/generate_docs.py && exit $$outcome

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

bench-scale: $(BIN)/ruff  ## the same calls among few rows and many
	$(BIN)/python -m bench scale

bench-peers: $(BIN)/ruff  ## side by side with ejabberd, Prosody and Synapse, which it installs if it may
	$(BIN)/python -m bench.peers.install
	$(BIN)/python -m bench peers

bench-compare: $(BIN)/ruff  ## is a hot path slower than in BASE=main? HEAD= the files as they are, or a commit; POSTGRES=1
	$(BIN)/python -m bench compare $(if $(POSTGRES),--postgres) $(or $(BASE),$(if $(HEAD),$(HEAD)~1)) $(HEAD)

bench-capacity: $(BIN)/ruff  ## what docs/capacity.md is made of, measured anew; needs PostgreSQL and NATS
	$(BIN)/python -m bench capacity measure
	$(BIN)/python -m bench capacity check
	$(BIN)/python -m bench capacity write

js:  ## the JavaScript clients that tests/stories talks through
	cd tests/js && npm ci --no-audit --no-fund

# Node's headers where they lie beside it; otherwise node-gyp downloads them.
NODE_HEADERS = $(shell node -p 'const r=path.resolve(process.execPath,"../..");fs.existsSync(r+"/include/node/node.h")?r:""')
node-ric:  ## Lambda's own runtime client for Node.js, built from its sources (a minute or two)
	@for tool in cmake make g++ python3 xz; do command -v $$tool >/dev/null || { echo "make node-ric needs $$tool"; exit 1; }; done
	cd tests/js/ric && npm_config_nodedir=$(NODE_HEADERS) npm ci --no-audit --no-fund

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis tests/js/node_modules tests/js/ric/node_modules
