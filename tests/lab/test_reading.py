"""Values by their types: the same from the command line and from YAML, and refused with their place."""

import pickle
from dataclasses import dataclass, field

import pytest
import yaml

from satlab.errors import InputError, TooLargeError, placed
from satlab.lab.cli import main as cli
from satlab.lab.reading import MAPPING, from_mapping, read_text
from satlab.train import TrainConfig

SAME = [
    ("1e3", int, 1000),
    ("1000.0", int, 1000),
    ("-0", int, 0),
    ("7", float, 7.0),
    ("1e-3", float, 1e-3),
    ("null", int | None, None),
    ("true", bool, True),
    ("all", int | str | None, "all"),
    ("3", int | str | None, 3),
    ("[1, 2e3]", list[int] | None, [1, 2000]),
    ("[0.9, 1]", tuple[float, float], (0.9, 1.0)),
    ("[linear, fine-tune]", list[str] | str, ["linear", "fine-tune"]),
    ("linear", list[str] | str, "linear"),
    ("{a: 1}", dict[str, int], {"a": 1}),
]
"""A text, a type, and the value that it stands for on the command line and in YAML."""


@pytest.mark.parametrize(("text", "kind", "value"), SAME)
def test_command_line_and_yaml_give_the_same(text, kind, value):
    @dataclass
    class Config:
        x: kind

    read = read_text("x", text, kind)
    assert (read, type(read)) == (value, type(value))
    from_yaml = from_mapping(Config, {"x": yaml.safe_load(text)}).x
    assert (from_yaml, type(from_yaml)) == (value, type(value))


@pytest.mark.parametrize(
    ("text", "kind", "said"),
    [
        ("1.5", int, "x is '1.5', expected an integer; correct it"),
        ("010", int, "x is '010', expected an integer; correct it"),
        ("true", int, "x is 'true', expected an integer; correct it"),
        ("ten", int | None, "x is 'ten', expected an integer or null; correct it"),
        ("3", bool, "x is '3', expected true or false; correct it"),
        ("5", list[int] | None, "x is '5', expected a list of integers such as [1, 2] or null; correct it"),
        ("5", list[int], "x is '5', expected a list of integers such as [1, 2]; correct it"),
        ("[1, b]", list[int] | None, "x has the item 'b', expected an integer; correct it"),
        ("[1]", tuple[float, float], "x is '[1]', expected two numbers; correct it"),
        ("9" * 5000, int, "x has more than 4,000 digits, expected a smaller number; correct it"),
    ],
)
def test_what_is_of_another_type_is_refused(text, kind, said):
    with pytest.raises(InputError) as error:
        read_text("x", text, kind)
    assert str(error.value) == said


def test_whole_numbers_written_as_floats_are_ints_everywhere(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "c.yaml").write_text("batch_size: 4.0\nevaluation_sentences: 2e1\n")
    line = "train demo-hmm --out r --model bert-1x8 --steps 2.0 --max-length 5e0 --config c.yaml"
    assert cli.run(line.split()) == 0
    capsys.readouterr()
    content = yaml.safe_load((tmp_path / "r" / "config.yaml").read_text())
    given = [content["train"][name] for name in ("steps", "batch_size", "evaluation_sentences")]
    assert [*map(repr, given), repr(content["max_length"])] == ["2", "4", "20", "5"]
    assert cli.run(["floor", "demo-hmm", "--sentences", "20.5"]) == 2
    assert "sentences is '20.5', expected an integer" in capsys.readouterr().err


@dataclass(frozen=True)
class Inner:
    n: int = 1

    def __post_init__(self) -> None:
        if self.n < 0:
            raise InputError(f"n is {self.n}, expected none below 0; correct it")


@dataclass(frozen=True)
class Outer:
    inner: Inner = field(default_factory=Inner)
    name: str = ""


@pytest.mark.parametrize(
    ("values", "place", "said"),
    [
        ({"inner": {"n": -1}}, ("file.yaml", "inner"), "n is -1, expected none below 0; correct it"),
        ({"inner": {"m": 1}}, ("file.yaml", "inner"), "unknown key 'm': expected one of: n"),
        (
            {"inner": {"name": ""}},
            ("file.yaml",),
            "inner: unknown key 'name'; it belongs beside inner, not below it; move it",
        ),
        ({"n": 1}, ("file.yaml",), "unknown key 'n'; it belongs below inner, not beside it; move it"),
        ({"inner": 3}, ("file.yaml",), f"inner is '3', expected {MAPPING}; correct it"),
        ({"name": None}, ("file.yaml",), "name is 'None', expected a value; give it, or leave the key out"),
    ],
)
def test_an_error_has_its_place(values, place, said):
    with pytest.raises(InputError) as error:
        from_mapping(Outer, values, "file.yaml")
    assert (error.value.place, error.value.said) == (place, said)
    assert str(error.value) == f"{', '.join(place)}: {said}"


def test_errors_keep_their_place_and_class_between_processes():
    with pytest.raises(TooLargeError) as error, placed("study", "model a"):
        raise TooLargeError("too large", "train")
    again = pickle.loads(pickle.dumps(error.value))
    assert (type(again), again.said, again.place) == (TooLargeError, "too large", ("study", "model a", "train"))


def test_settings_that_a_file_may_not_have_name_the_file(tmp_path):
    with pytest.raises(InputError, match=r"^run/config.yaml: unknown key 'lrr': did you mean 'lr'\?$"):
        from_mapping(TrainConfig, {"lrr": 1}, "run/config.yaml")


STUDY = "models: {bert-1x8: {}}\ntasks: []\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("language: {preset: demo-hm}", "s.yaml, language: "),
        ("language: {family: random-hmm, stats: 3}", "s.yaml, language: "),
        ("language: demo-hmm\nseeds: [0, 0.5]", "s.yaml: seeds has the item '0.5', expected an integer"),
        ("language: demo-hmm\ntrain: {lr: -1}", "s.yaml, train: lr is -1"),
        ("language: demo-hmm\npublished: [3]", "s.yaml, published 1: is '3'"),
    ],
)
def test_errors_in_a_study_name_its_file(tmp_path, monkeypatch, capsys, text, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "s.yaml").write_text(STUDY + text + "\n")
    assert cli.run(["study", "s.yaml", "--out", "out"]) == 2
    err = capsys.readouterr().err
    assert err.startswith("satlab: ")
    assert said in err
    assert not (tmp_path / "out").exists()
