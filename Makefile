# Everything starts here; each target sets up what it needs.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready

.PHONY: setup demo test check format neo4j peers lock clean
setup: $(READY)

# The locks are pinned with hashes. Torch comes apart: its CPU build where an index carries it, else the default build.
$(READY): requirements/main.txt requirements/torch.txt requirements/torch-cpu.txt pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements/main.txt
	$(BIN)/python -m pip install --quiet --no-deps -r requirements/torch-cpu.txt 2>/dev/null \
	  || $(BIN)/python -m pip install --quiet --require-hashes -r requirements/torch.txt
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	touch $(READY)

demo: $(READY)
	$(BIN)/segue demo

test: $(READY)
	$(BIN)/python tools/run_tests.py

check: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(READY)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# Neo4j Community on loopback, from Maven's packages; needs java 17 or newer and mvn.
neo4j: $(READY)
	$(BIN)/python tools/neo4j/neo4j.py start

# What `segue bench` compares with.
peers: $(READY)
	$(BIN)/python -m pip install --quiet --require-hashes --no-deps -r requirements/bench.txt

# Needs uv (`pip install uv`). Torch is locked against the same versions of what both need.
lock:
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-annotate --no-header --quiet \
	  requirements/main.in --output-file requirements/main.txt
	sed -E 's/ --hash.*//; s/ \\$$//' requirements/main.txt | grep -E '^[a-z]' > .venv/constraints.txt
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-annotate --no-header --quiet \
	  --constraints .venv/constraints.txt requirements/torch.in --output-file requirements/torch.txt

	uv pip compile --universal --python-version 3.11 --generate-hashes --no-annotate --no-header --quiet \
	  --constraints .venv/constraints.txt requirements/bench.in --output-file requirements/bench.txt

clean:
	rm -rf var .venv
