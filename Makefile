# Every target sets up what it needs: a virtual environment in .venv, made once and again when the set-up files change.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test test-slow lint smoke bench clean
.DEFAULT_GOAL := demo

demo: $(VENV)/done
	$(BIN)/satlab study studies/demo.yaml --out results/demo

smoke: $(VENV)/done
	rm -rf results/smoke
	$(BIN)/satlab study studies/smoke.yaml --out results/smoke

# Two processes of one thread each: two threads of one process wait for one another. They start the command over and over: its
# compiled modules are kept.
test: $(VENV)/done
	OMP_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -n 2 --dist loadfile

test-slow: $(VENV)/done
	OMP_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -n 2 --dist loadfile -m "slow or not slow"

lint: $(VENV)/done
	mkdir -p $(VENV)/names && ln -sfn "$(CURDIR)" $(VENV)/names/satlab
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(VENV)/done
	$(BIN)/python -m pip install -q -c constraints.txt -e ".[bench]"
	$(BIN)/python benchmarks/languages.py

$(VENV)/done: setup.cfg pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q -c constraints.txt -e ".[test,lint]"
	touch $@

clean:
	rm -rf $(VENV) build *.egg-info
