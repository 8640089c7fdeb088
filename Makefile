# Every target sets up what it needs: a virtual environment in .venv, made once and again when the set-up files change.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

# uv where it is on the PATH, pip otherwise; both hold to the same constraints.
ifneq ($(shell command -v uv),)
MAKE_VENV := uv venv -q --seed --allow-existing --python $(PYTHON) $(VENV)
INSTALL := uv pip install -q --python $(BIN)/python -c constraints.txt
else
MAKE_VENV := $(PYTHON) -m venv $(VENV)
INSTALL := $(BIN)/python -m pip install -q -c constraints.txt
endif

.PHONY: demo gallery test test-slow lint smoke bench docs dist clean
.DEFAULT_GOAL := demo

demo: $(VENV)/done
	$(BIN)/satlab study studies/demo.yaml --out results/demo

smoke: $(VENV)/done
	rm -rf results/smoke
	$(BIN)/satlab study studies/smoke.yaml --out results/smoke

# Every script of the gallery, and its picture into the pages.
gallery: $(VENV)/done
	for script in $$(ls examples/*.py | grep -v grammar_to_figure); do \
		OMP_NUM_THREADS=1 MPLBACKEND=agg $(BIN)/python $$script || exit 1; done
	cp results/gallery/*.png docs/gallery/
	$(BIN)/python docs/draw_imports.py

# Two processes of one thread each: two threads of one process wait for one another. They start the command over and over: its
# compiled modules are kept.
test: $(VENV)/develop
	OMP_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -n 2 --dist loadfile

test-slow: $(VENV)/develop
	OMP_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -n 2 --dist loadfile -m "slow or not slow"

lint: $(VENV)/develop
	mkdir -p $(VENV)/names && ln -sfn "$(CURDIR)" $(VENV)/names/satlab
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(VENV)/done
	$(INSTALL) -e ".[bench]"
	$(BIN)/python benchmarks/languages.py

# A virtual environment of its own: the pages are made from the source's text, and nothing of satlab is imported. What is
# documented is a copy of the package as it is installed.
docs: $(VENV)/docs/done
	rm -rf build/docs && mkdir -p build/docs/satlab
	git ls-files '*.py' ':!tests' ':!benchmarks' ':!examples' ':!.ci' | xargs tar cf - | tar xf - -C build/docs/satlab
	NO_MKDOCS_2_WARNING=1 $(VENV)/docs/bin/mkdocs build --strict --quiet
	@echo "open build/site/index.html"

$(VENV)/docs/done: setup.cfg
	$(PYTHON) -m venv $(VENV)/docs
	$(VENV)/docs/bin/python -m pip install -q $$(sed -n '/^docs =/,/^[a-z]* =$$/s/^    //p' setup.cfg)
	touch $@

dist: $(VENV)/done
	$(INSTALL) -e ".[dist]"
	rm -rf build/dist
	$(BIN)/python -m build --outdir build/dist
	$(BIN)/twine check --strict build/dist/*
	$(BIN)/python .ci/check_distribution.py build/dist

# What runs satlab, and nothing for tests or lint: the demo waits for no more. An environment with pip in either case, for
# those who use it by hand.
$(VENV)/done: setup.cfg pyproject.toml constraints.txt
	$(MAKE_VENV)
	$(INSTALL) -e .
	touch $@

$(VENV)/develop: $(VENV)/done
	$(INSTALL) -e ".[test,lint]"
	touch $@

clean:
	rm -rf $(VENV) build *.egg-info
