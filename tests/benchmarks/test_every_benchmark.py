"""Every script of benchmarks/ can still be imported: what it uses of satlab exists."""

import pytest
from support.benchmark_scripts import FOLDER, loaded

OF_A_CHECKOUT = "versions_side"
"""A program that takes its arguments when it is imported; the test of versions.py runs it."""


@pytest.mark.parametrize("name", sorted(path.stem for path in FOLDER.glob("*.py") if path.stem != OF_A_CHECKOUT))
def test_it_can_be_imported(name):
    with loaded(name) as module:
        assert module.__doc__
