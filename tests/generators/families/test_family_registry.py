"""Families are entries of a registry: one file each, its settings typed and documented, those of others included."""

from types import UnionType
from typing import get_args, get_origin, get_type_hints

import pytest

from satlab.errors import InputError
from satlab.generators import HMM, load_language
from satlab.generators.families.base import Family, families
from satlab.registry import settings_of
from satlab.settings import said_of

BUILT_IN = [
    "brackets",
    "causal",
    "cfg3",
    "dyck",
    "ginc",
    "hmm",
    "layered-pcfg",
    "pcfg",
    "random-hierarchy",
    "random-hmm",
    "random-pcfg",
    "uniform-cfg",
    "wei2021-hmm",
    "wei2021-memory-hmm",
]

COIN = """
from __future__ import annotations

from dataclasses import dataclass

from satlab.generators import HMM, Language
from satlab.generators.families.base import Family, families


@families.register("coin")
@dataclass(frozen=True)
class Coin(Family):
    heads: float
    length: int = 4

    def build(self) -> Language:
        return HMM([1.0], [[1.0]], [[self.heads, 1 - self.heads]], self.length, ["heads", "tails"])
"""


def test_these_families_are_there():
    assert [name for name in families if name in BUILT_IN] == BUILT_IN


@pytest.mark.parametrize("name", BUILT_IN)
def test_every_setting_has_a_type_and_a_word_of_explanation(name):
    family = families[name]
    assert issubclass(family, Family)
    names = [setting.name for setting in settings_of(family)]
    assert list(said_of(family)) == names
    assert all(said_of(family).values())
    for kind in map(get_type_hints(family).get, names):
        parts = get_args(kind) if isinstance(kind, UnionType) else (kind,)
        assert all(isinstance(get_origin(part) or part, type) for part in parts)


def test_a_family_of_another_package_is_one_file(tmp_path, monkeypatch):
    (tmp_path / "coin_family.py").write_text(COIN)
    (tmp_path / "fair.yaml").write_text("family: coin\nheads: 1e-1\n")
    info = tmp_path / "coin-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: coin\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[satlab.plugins]\ncoin = coin_family\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(families, "entries", dict(families.entries))
    monkeypatch.setattr(families, "complete", False)
    language = load_language(tmp_path / "fair.yaml", 3)
    assert isinstance(language, HMM)
    assert (language.words, language.max_length, language.emission[0, 0]) == (("heads", "tails"), 3, 0.1)
    with pytest.raises(InputError, match="unknown key of family coin 'headz': did you mean 'heads'"):
        load_language({"family": "coin", "headz": 0.5})
    with pytest.raises(InputError, match="family coin lacks the key 'heads'"):
        load_language({"family": "coin"})
    with pytest.raises(InputError, match="unknown family 'con': did you mean 'coin'"):
        load_language({"family": "con"})
