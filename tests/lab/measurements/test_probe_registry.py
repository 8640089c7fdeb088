"""The configuration of probes follows from their registry: settings, defaults, refusals, and what names rows."""

import json
from dataclasses import dataclass, field, fields

import pytest

from satlab.errors import InputError
from satlab.lab.measurements.probe_config import ProbeConfig, table_probe
from satlab.probes import FeatureChoice, FineTuning, is_model_probe, probe_methods, probe_names
from satlab.registry import PYTHON_ONLY, Registry, settings_of
from satlab.settings import check_unused, chosen, with_settings_of

ROWS = {
    "linear": '{"l2": null, "projection": 5, "seed": 0, "seeds": 3, "test_sentences": 8000, "train_sentences": 8000}',
    "linear-adamw": '{"batch_size": 256, "epochs": 100, "layer": 1, "lr": 0.001, "precision": "bf16", "seed": 0, '
    '"seeds": 3, "test_sentences": 8000, "train_sentences": 8000}',
    "fine-tune": '{"batch_size": 256, "epochs": 10, "lr": 0.0001, "seed": 0, "seeds": 3, "test_sentences": 8000, '
    '"train_sentences": 8000, "warmup_steps": 200}',
}
"""What rows said of their settings before probes were a registry."""


def test_rows_measured_before_are_recognised():
    given = {
        "linear": (ProbeConfig(l2=None, projection=5), None),
        "linear-adamw": (ProbeConfig(method="linear-adamw", precision="bf16"), FeatureChoice(1)),
        "fine-tune": (ProbeConfig(method="fine-tune", precision="bf16"), FeatureChoice()),
    }
    said = {name: json.dumps(config.settings(name, choice), sort_keys=True) for name, (config, choice) in given.items()}
    assert said == ROWS


def test_the_settings_of_all_probes_are_fields_with_the_published_defaults():
    names = {setting.name for probe in probe_methods.values() for setting in settings_of(probe)}
    assert names == {*("l2", "lr", "epochs", "batch_size", "reads", "ridge", "prompt", "order", "start", "attention")}
    defaults = {name: getattr(ProbeConfig(), name) for name in names}
    several = {"lr": None, "epochs": None, "batch_size": None}
    released = {"prompt": 20, "order": "prompt-mask-text", "start": "words", "attention": "soft"}
    assert defaults == {"l2": 1e-4, "reads": "words", "ridge": 4e-7} | several | released
    assert (ProbeConfig(method="prompt").probe("prompt").batch_size, FineTuning().batch_size) == (128, 256)
    assert "warmup_steps" in {setting.name for setting in fields(FineTuning)}


def test_feature_probes_come_before_probes_of_the_model():
    of_model = ["attention-head", "fine-tune", "head", "head-adamw", "prompt"]
    assert probe_names() == ["linear", "linear-adamw", *of_model]
    assert [name for name in (*probe_names(), "unknown") if is_model_probe(name)] == of_model


def test_the_look_up_table_is_probed_by_what_can_read_it():
    table = {name: table_probe(name) for name in probe_names()}
    assert table == {name: name for name in probe_names()} | {"fine-tune": "linear"}


# ---- settings of several entries


things: Registry[object] = Registry("thing")


@things.register("small")
@dataclass(frozen=True)
class Small:
    """A thing.

    Args:
        size: how large.
        share: how much of it.
    """

    size: float = 1.0
    share: float = 0.5
    hidden: int = field(default=7, metadata=PYTHON_ONLY)


@things.register("tall")
@dataclass(frozen=True)
class Tall:
    """A thing.

    Args:
        size: how tall.
        share: how much of it; null leaves it open.
    """

    size: float = 2.0
    share: float | None = 0.5

    def __post_init__(self):
        if self.size < 0:
            raise InputError("size is below 0")


@with_settings_of(things, "method")
@dataclass(frozen=True)
class Config:
    """Things.

    Args:
        method: the thing, or a list of several.
    """

    method: list[str] | str = "small"


def test_each_entry_keeps_its_own_default_until_one_is_given():
    several = Config(method=["small", "tall"])
    assert (chosen(several, "small"), chosen(several, "tall")) == (Small(1.0), Tall(2.0))
    given = Config(method=["small", "tall"], size=3.0)
    assert (chosen(given, "small"), chosen(given, "tall")) == (Small(3.0), Tall(3.0))
    assert [setting.name for setting in fields(Config)] == ["method", "size", "share"]
    assert "method: the thing, or a list of several: small, tall." in Config.__doc__


def test_null_reaches_the_entries_that_take_it():
    assert chosen(Config(method="tall", share=None)) == Tall(2.0, None)
    with pytest.raises(InputError, match="share is null with method small, expected a value"):
        chosen(Config(method="small", share=None))


def test_a_value_is_refused_where_no_entry_takes_it():
    check_unused(Config(method=["small", "tall"], size=-1.0))
    with pytest.raises(InputError, match="size is below 0"):
        check_unused(Others(method="none", size=-1.0))


others: Registry[object] = Registry("thing")
others.register("tall")(Tall)


@others.register("none")
class Nothing:
    """Has no settings."""


@with_settings_of(others, "method")
@dataclass(frozen=True)
class Others:
    """Things.

    Args:
        method: the thing.
    """

    method: str = "none"
