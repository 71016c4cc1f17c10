# SPDX-License-Identifier: Apache-2.0
# make demo   plays a drive (SOURCE=..., default: the synthetic street) through the nodes
# make test   lints, checks types and imports, runs every test
# Both make .venv first; nothing else is needed than Python 3.10 or newer with venv.

PYTHON ?= python3
VENV ?= .venv
SOURCE ?= synthetic
OUT ?= out/demo
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: demo test lint unit clean

demo: $(STAMP)
	$(BIN)/depth-recog demo "$(SOURCE)" --out "$(OUT)"

test: lint unit

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# What starts nodes waits for them, and has the machine to itself; the rest shares it out by files.
unit: $(STAMP)
	$(BIN)/python -m pytest -m "not ros" -n 2 --dist loadfile
	$(BIN)/python -m pytest -m ros

$(STAMP): setup.py constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt torch
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[ros,report,train,onnx,hf,test]'
	touch $@

clean:
	rm -rf $(VENV) out build install log *.egg-info
