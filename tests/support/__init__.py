"""What tests share: oracles, random languages, recorded runs, processes that are disturbed."""

from pathlib import Path

TESTS = Path(__file__).parents[1]
"""The folder of the tests, which is on the path of modules in each of them."""

ROOT = TESTS.parent
"""The checkout."""
