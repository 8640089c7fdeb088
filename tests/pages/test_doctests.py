"""The examples in the docstrings of entry functions give what they show."""

import doctest
from importlib import import_module

import pytest

MODULES = {
    "estimate": 1,
    "spec": 1,
    "generators.load": 1,
    "generators.hmm.language": 1,
    "generators.pcfg.language": 1,
    "models.build": 2,
    "train.losses": 1,
    "train.trainer": 1,
    "flatness.trace": 1,
    "probes.linear": 1,
    "probes.fine_tune": 1,
}
"""module -> how many of its docstrings have an example."""


@pytest.mark.parametrize("name", MODULES)
def test_examples_give_what_they_show(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    module = import_module(f"satlab.{name}")
    examples = [found for found in doctest.DocTestFinder(exclude_empty=True).find(module) if found.examples]
    assert len(examples) == MODULES[name]
    wrong = []
    runner = doctest.DocTestRunner(verbose=False)
    for example in examples:
        runner.run(example, out=wrong.append)
    assert not wrong, "".join(wrong)
