"""What --help says of a setting is what its docstring says, with its default, in words a newcomer knows."""

import inspect
import re
from dataclasses import MISSING, fields

import pytest

from satlab.lab.cli import main as cli
from satlab.lab.measurements.flatness_config import FlatnessConfig
from satlab.lab.measurements.kl import EvaluateConfig
from satlab.lab.measurements.probe_config import ProbeConfig
from satlab.train import TrainConfig
from satlab.train.config import CHOICES

COMMANDS = {"train": TrainConfig, "evaluate": EvaluateConfig, "probe": ProbeConfig, "flatness": FlatnessConfig}


def documented(kind):
    """name -> what the docstring's Args say of it."""
    text = inspect.getdoc(kind).partition("Args:\n")[2]
    return dict(re.findall(r"^ {4}(\w+): (.*(?:\n {8}.*)*)", text, re.MULTILINE))


def plain(text):
    """Help breaks lines at hyphens too, and writes hyphens for underscores."""
    return re.sub(r"\s+", "", text).replace("_", "-")


@pytest.fixture
def helped(capsys, monkeypatch):
    def call(command, columns=80):
        monkeypatch.setenv("COLUMNS", str(columns))
        with pytest.raises(SystemExit) as stop:
            cli.run([command, "--help"])
        assert stop.value.code == 0
        return capsys.readouterr().out

    return call


def options_of(text):
    """option -> what stands beside and below it."""
    return {
        name: (value, said)
        for name, value, said in re.findall(
            r"^  --([\w-]+)(.*?)(?:\n {24}|  )((?:.|\n)*?)(?=\n  -|\n\S|\Z|\n\n)", text, re.MULTILINE
        )
    }


@pytest.mark.parametrize("command", COMMANDS)
def test_every_setting_is_described_with_its_default(command, helped):
    kind, shown = COMMANDS[command], options_of(helped(command, 200))
    said = documented(kind)
    assert set(said) == {field.name for field in fields(kind)}
    for field in fields(kind):
        text = plain(shown[field.name.replace("_", "-")][1])
        assert plain(said[field.name].removesuffix(".")) in text, field.name
        default = field.default if field.default is not MISSING else field.default_factory()
        if default is None or default == []:
            assert "default:" not in text, field.name
        else:
            default = list(default) if isinstance(default, tuple) else default
            expected = str(default).lower() if isinstance(default, bool) else str(default)
            assert text.endswith(plain(f"(default: {expected})")), field.name


@pytest.mark.parametrize("columns", [80, 120])
@pytest.mark.parametrize("command", COMMANDS)
def test_help_fits_and_speaks_no_python(command, columns, helped):
    text = helped(command, columns)
    assert [line for line in text.splitlines() if len(line) > columns and not line.endswith(":")] == []
    for inside in ("null, default", "type:", "NoneType", "| null", "ITEM", "SUPPRESS", "%(", "+ ["):
        assert inside not in text


def test_choices_are_named(helped):
    shown = options_of(helped("train", 200))
    for name, choices in CHOICES.items():
        assert [choice for choice in choices if choice not in shown[name.replace("_", "-")][1]] == [], name


def test_placeholders_tell_what_is_to_be_written(helped):
    shown = options_of(helped("train", 200))
    wanted = {"steps": "N", "lr": "X", "betas": "[X,X]", "checkpoints": "[N,...]", "compile": "{true,false}"}
    wanted |= {"optimizer": "OPTIMIZER", "adversary-strength": "X", "max-length": "N"}
    assert {name: shown[name][0].strip() for name in wanted} == wanted
