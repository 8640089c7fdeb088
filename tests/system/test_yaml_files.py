"""One reader of YAML for languages, settings and studies: plain data, and one line for everything else."""

import os
import re
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from satlab.errors import InputError
from satlab.generators import load_language
from satlab.lab.cli import main as cli
from satlab.lab.measurements.flatness_config import FlatnessConfig
from satlab.lab.reading import from_mapping
from satlab.lab.studies.config import StudyConfig
from satlab.system.yaml_files import read_yaml, read_yaml_text

LAUGHS = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{new}: &{new} [{', '.join([f'*{old}'] * 10)}]\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)
MERGED = "a: &a {x: 1}\n" + "".join(
    f"{new}: &{new} {{<<: [{', '.join([f'*{old}'] * 10)}]}}\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)

WRONG = {
    "key twice": ("a: 1\nb: 2\na: 3\n", "line 3: the key 'a' is given twice, first in line 1"),
    "key twice deep down": ("a:\n  - b: {c: 1,\n      c: 2}\n", "line 3: the key 'c' is given twice, first in line 2"),
    "key twice in a list of a list": ("- - a: 1\n    a: 1\n", "line 2: the key 'a'"),
    "key twice, spelled otherwise": ("1.0: a\n1.00: b\n", "line 2: the key '1.00' is given twice, first in line 1"),
    "key twice, quoted": ("a: 1\n'a': 2\n", "line 2: the key 'a'"),
    "merge twice": ("a: &a {x: 1}\nb: {<<: *a,\n  <<: *a}\n", "line 3: the key '<<'"),
    "list as a key": ("a: 1\n? [b]\n: 2\n", "line 2: a key is a list or a mapping"),
    "number that is none": ("a: 1\nb: !!int x\n", "line 2: 'x', expected a number"),
    "empty number": ("a: !!int ''\n", "line 1: '', expected a number"),
    "boolean that is none": ("a: !!bool maybe\n", "line 1: 'maybe', expected true or false"),
    "long number": (f"a: {'9' * 5000}\n", "line 1: '9+...', expected a number"),
    "date by a tag": ("a: !!timestamp x\n", "line 1: the tag '!!timestamp'"),
    "python": ("a: 1\nb: !!python/object/apply:os.system [ls]\n", "line 2: the tag '!!python/object/apply:os.system'"),
    "own tag": ("a: !mine 3\n", "line 1: the tag '!mine'"),
    "within itself": ("a: 1\nb: &b [*b]\n", "line 2: a value that contains itself"),
    "key within itself": ("a: &b {c: {d: *b}}\n", "line 1: a value that contains itself"),
    "billion laughs": (LAUGHS, "line 1: aliases .* more than 100,000 values"),
    "merged laughs": (MERGED, "line 1: aliases .* more than 100,000 values"),
    "deep": ("[" * 2000, "not YAML: line 1: nested too deeply"),
    "not UTF-8": (b"a: 1\nb: caf\xe9\n", "line 2: the byte 0xE9 is not UTF-8"),
    "half of UTF-16": (b"\xff\xfea\x00:\x00 ", "not UTF-16"),
    "UTF-16 without its mark": ("a: 1\n".encode("utf-16-le"), r"not YAML: line 1: the character U\+0000"),
    "NUL": ("a: 1\nb: x\0y\n", r"not YAML: line 2: the character U\+0000"),
    "escape": ("a: 1\nb: \x1b[0m\n", r"not YAML: line 2: the character U\+001B"),
    "tab": ("a:\n\tb: 1\n", "not YAML: line 2: .*'.t'"),
    "two documents": ("a: 1\n---\nb: 2\n", "not YAML: line 2: expected a single document"),
    "unfinished": ("a: [1\n", "not YAML: line 2: "),
    "no such alias": ("a: *b\n", "not YAML: line 1: .*undefined alias"),
    "half a surrogate pair": ('a: "\\ud800"\n', "line 1: .*expected a string"),
    "beyond Unicode": ('a: "\\UFFFFFFFF"\n', "not YAML: line 1: "),
    "merge of a number": ("a: 1\nb: {<<: 3}\n", "not YAML: line 2: .*expected a mapping"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_one_line_that_names_the_file_and_the_line(tmp_path, name):
    content, match = WRONG[name]
    path = tmp_path / "file.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8", "surrogatepass"))
    for read in (read_yaml, load_language):
        with pytest.raises(InputError, match=match) as caught:
            read(path)
        said = str(caught.value)
        assert said.startswith(f"{path}: ")
        assert len(said.splitlines()) == 1
        assert len(said) < len(str(path)) + 300


RIGHT = {
    "date": ("a: 2024-13-45\n", {"a": "2024-13-45"}),
    "equals sign": ("a: [=, <<]\n", {"a": ["=", "<<"]}),
    "byte order mark": (b"\xef\xbb\xbfa: 1\n", {"a": 1}),
    "UTF-16": ("a: \u4e2d\n".encode("utf-16"), {"a": "\u4e2d"}),
    "UTF-32": ("a: \u4e2d\n".encode("utf-32"), {"a": "\u4e2d"}),
    "merge": ("a: &a {x: 1, y: 2}\nb: {<<: *a, x: 3}\n", {"a": {"x": 1, "y": 2}, "b": {"x": 3, "y": 2}}),
    "merge of a merge": (
        "a: &a {x: 1}\nb: {c: &c {<<: *a, x: 2}, d: {<<: *c, x: 3}}\n",
        {"a": {"x": 1}, "b": {"c": {"x": 2}, "d": {"x": 3}}},
    ),
    "alias": ("a: &a [1]\nb: [*a, *a]\n", {"a": [1], "b": [[1], [1]]}),
    "same key in two places": ("a: {x: 1}\nb: {x: 1}\n", {"a": {"x": 1}, "b": {"x": 1}}),
    "empty": ("", None),
}


@pytest.mark.parametrize("name", RIGHT)
def test_what_is_sound_is_read(name):
    content, expected = RIGHT[name]
    assert read_yaml_text(content if isinstance(content, bytes) else content.encode()) == expected


def test_numbers_are_keys_where_they_differ():
    assert read_yaml_text(b"{2: x, 4: y}") == {2: "x", 4: "y"}
    with pytest.raises(InputError, match="the key 'true' is given twice"):
        read_yaml_text(b"{1: x, true: y}")


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(st.characters(codec="utf-8")),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner, max_size=4)
    ),
    max_leaves=20,
)


@settings(deadline=None, max_examples=200)
@given(PLAIN, st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-32"]))
def test_what_yaml_writes_is_read_back(content, encoding):
    assert read_yaml_text(yaml.safe_dump(content, sort_keys=False).encode(encoding)) == content


@settings(deadline=None, max_examples=300)
@given(st.binary(max_size=60) | st.text("ab:-[]{}&*!|>'\"%@`,#?<=\n\t \\0x_.1é\ud800", max_size=60))
def test_anything_is_read_or_one_line(content):
    content = content if isinstance(content, bytes) else content.encode("utf-8", "surrogatepass")
    said = ""
    try:
        read_yaml_text(content)
    except InputError as error:
        said = str(error)
    assert said == "" or re.match(r"(not YAML: )?line \d+: ", said)
    assert len(said.splitlines()) <= 1


STUDY = {"language": "demo-hmm", "models": {"bert-1x8": {}}, "tasks": ["state-1"]}


@pytest.mark.parametrize("key", [1, 1.5, True, None, (1, 2)])
@pytest.mark.parametrize("place", ["models", "language", "train", "probe", None])
def test_a_key_that_is_no_name_is_one_line(place, key):
    changed = {key: {}} if place is None else {place: {key: {}}}
    with pytest.raises(InputError, match=r"study.yaml: (unknown key|\w+ has the key)"):
        from_mapping(StudyConfig, STUDY | changed, "study.yaml")


def test_only_values_behind_aliases_are_limited(monkeypatch):
    monkeypatch.setattr("satlab.system.yaml_files.MOST_UNFOLDED", 5)
    assert read_yaml_text(b"[1, 2, 3, 4, 5, 6, 7, 8]") == [1, 2, 3, 4, 5, 6, 7, 8]
    assert read_yaml_text(b"[&a [1], 2, 3, 4, 5, 6, *a]")[-1] == [1]
    with pytest.raises(InputError, match="more than 5 values"):
        read_yaml_text(b"[&a [1, 2, 3], *a, *a]")


@pytest.mark.parametrize("value", ["2024-13-45", "&a [*a]", "0b_", "!!timestamp x", {1: 2}, [[]], "[" * 400])
@pytest.mark.parametrize("key", ["contexts", "radii"])
def test_a_value_of_another_kind_is_one_line(key, value):
    with pytest.raises(InputError, match=r"file\.yaml: ") as caught:
        from_mapping(FlatnessConfig, {key: value}, "file.yaml")
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("language", [7, [1], True])
def test_a_study_of_a_language_that_is_no_name(tmp_path, capsys, language):
    (tmp_path / "s.yaml").write_text(yaml.safe_dump(STUDY | {"language": language}))
    assert cli.run(["study", str(tmp_path / "s.yaml"), "--out", str(tmp_path / "out")]) == 2
    assert re.fullmatch(
        r"satlab: .*s\.yaml.*language is .*expected a preset, a file or a mapping.*\n", capsys.readouterr().err
    )
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("010", "010"),
        ("1:20", "1:20"),
        ("1_0", "1_0"),
        ("10", 10),
        ("-0", "-0"),
        ("0x10", "0x10"),
        ("+5", "+5"),
        ("-5", -5),
    ],
)
def test_whole_numbers_are_those_that_people_mean(text, value):
    assert read_yaml_text(f"length: {text}".encode()) == {"length": value}


@pytest.mark.parametrize("kind", ["a pipe", "a device", "a directory"])
def test_only_files_are_read(tmp_path, kind):
    place = tmp_path / "place"
    {"a pipe": os.mkfifo, "a device": lambda path: path.symlink_to("/dev/zero"), "a directory": Path.mkdir}[kind](place)
    with pytest.raises(InputError, match=f"place: {kind}, expected a file; check the path"):
        read_yaml(place)
