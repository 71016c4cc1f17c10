# SPDX-License-Identifier: Apache-2.0
# make demo   plays a drive (SOURCE=..., default: the synthetic street) through the nodes
# make test   lints, checks types and imports, runs every test
# make mutants   breaks depth_recog/method in small ways and counts what its tests find (hours)
# make fuzz   sends mutated files through every door (hours)
# All make .venv first; nothing else is needed than Python 3.10 or newer with venv.

PYTHON ?= python3
VENV ?= .venv
SOURCE ?= synthetic
OUT ?= out/demo
WORKERS ?= 4
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: demo test lint unit mutants fuzz clean

demo: $(STAMP)
	$(BIN)/depth-recog demo "$(SOURCE)" --out "$(OUT)"

test: lint unit

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# More workers than cores: tests of nodes mostly wait. test/conftest.py puts them first.
unit: $(STAMP)
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder

# MUTANTS="--sample 300" takes a sample.
mutants: $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[mutation]'
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/mutation.py $(MUTANTS)

# FUZZ="--door images --inputs 1000 --seed 2 --json out/fuzz.json" takes one kind of input.
fuzz: $(STAMP)
	$(BIN)/python benchmarks/fuzz.py $(FUZZ)

$(STAMP): setup.py constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt torch
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[ros,report,train,onnx,hf,test]'
	touch $@

clean:
	rm -rf $(VENV) mutants out build install log *.egg-info
