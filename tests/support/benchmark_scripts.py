"""The scripts of benchmarks/ as modules."""

import importlib.util
import sys
from contextlib import contextmanager
from pathlib import Path

FOLDER = Path(__file__).parents[2] / "benchmarks"


@contextmanager
def loaded(name):
    """The script of this name; the scripts beside it are imported for the block alone."""
    before = set(sys.modules)
    spec = importlib.util.spec_from_file_location(f"{name}_benchmark", FOLDER / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(FOLDER))
    try:
        spec.loader.exec_module(module)
        yield module
    finally:
        sys.path.remove(str(FOLDER))
        for beside in {path.stem for path in FOLDER.glob("*.py")} - before:
            sys.modules.pop(beside, None)
