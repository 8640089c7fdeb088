"""NAME:setting=value,...: what is read, what is written, and that reading undoes writing."""

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from satlab.errors import InputError
from satlab.registry import Registry
from satlab.spec import parse_spec, settings_from, spec_of, split_spec

tasks: Registry["Word"] = Registry("task")


@tasks.register("word")
@dataclass(frozen=True)
class Word:
    position: int
    share: float = 0.5
    label: str = "a"
    key: int | str | None = None
    last: bool = False


@tasks.register("length")
class Length:
    pass


@tasks.register("list")
@dataclass(frozen=True)
class List:
    several: list = field(default_factory=list)


@pytest.mark.parametrize(
    ("text", "entry", "canonical"),
    [
        ("word:position=3", Word(3), "word:position=3"),
        ("word:share=1e-3,position=3", Word(3, 0.001), "word:position=3,share=0.001"),
        ("word:position=3,share=1", Word(3, 1.0), "word:position=3,share=1.0"),
        ("word:position=3e0", Word(3), "word:position=3"),
        ("word:position=1e3,key=1e3", Word(1000, key="1e3"), "word:key=1e3,position=1000"),
        (" word : position = 3 , last = true", Word(3, last=True), "word:last=true,position=3"),
        ("word:position=3,share=0.5,label=a,key=null,last=false", Word(3), "word:position=3"),
        ("word:position=3,key=4", Word(3, key=4), "word:key=4,position=3"),
        ('word:position=3,key="4"', Word(3, key="4"), 'word:key="4",position=3'),
        ("word:position=3,key=", Word(3, key=""), "word:key=,position=3"),
        ('word:position=3,label="a,b"', Word(3, label="a,b"), 'word:label="a,b",position=3'),
        ("word:position=3,label=a=b", Word(3, label="a=b"), "word:label=a=b,position=3"),
        ("word:position=3,label=null", Word(3, label="null"), "word:label=null,position=3"),
        ("word:position=-3,share=-inf", Word(-3, float("-inf")), "word:position=-3,share=-inf"),
    ],
)
def test_a_text_is_read_and_written_in_one_form(text, entry, canonical):
    assert parse_spec(text, tasks) == entry
    assert spec_of("word", entry) == canonical


def test_an_entry_without_settings_is_its_name():
    assert type(parse_spec("length", tasks)) is Length
    assert spec_of("length", Length()) == "length"
    assert spec_of("list", List()) == "list"


def test_the_name_may_stand_for_settings():
    assert split_spec("word-3:last=true") == ("word-3", "last=true")
    assert settings_from("last=true,share=1", Word, "task 'word-3'") == {"last": True, "share": 1.0}
    assert settings_from("", Word, "task 'word-3'") == {}
    assert spec_of("word-3", Word(3, last=True), omitted=("position",)) == "word-3:last=true"


@given(
    st.builds(
        Word,
        position=st.integers(),
        share=st.floats(allow_nan=False),
        label=st.text(),
        key=st.none() | st.integers() | st.text(),
        last=st.booleans(),
    )
)
def test_reading_undoes_writing(entry):
    assert parse_spec(spec_of("word", entry), tasks) == entry


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("wrd", r"^unknown task 'wrd': did you mean 'word'\?$"),
        ("word", "^task 'word' needs the setting 'position'; write word:position=VALUE$"),
        ("word:", "^'word:' ends after the colon, expected word:setting=value; add a setting or write word$"),
        ("word:positon=3", "^task 'word': unknown setting 'positon': did you mean 'position'\\?$"),
        ("word:position=3.0", "^task 'word': setting 'position' is '3.0', expected an integer; correct it$"),
        ("word:position=1_0", "setting 'position' is '1_0', expected an integer"),
        ("word:position=1,share=nan", "setting 'share' is 'nan', expected a number"),
        ("word:position=1,last=True", "setting 'last' is 'True', expected true or false"),
        ('word:position="1"', "setting 'position' is '\"1\"', expected an integer"),
        ("word:position=1,position=2", "^task 'word': setting 'position' is given twice; give it once$"),
        ("word:position=3,", "^task 'word': cannot read 'position=3,', expected setting=value, separated by commas"),
        ("word:position", "cannot read 'position'"),
        ('word:label="a', "cannot read 'label=\"a'"),
        ("length:position=1", "^task 'length' has no settings, but 'position' is given; remove it$"),
        ("list:several=1", "^task 'list': setting 'several' cannot be given as text; build the entry in Python$"),
    ],
)
def test_what_cannot_be_read_is_told_in_one_line(text, message):
    with pytest.raises(InputError, match=message):
        parse_spec(text, tasks)


def test_what_the_entry_refuses_names_the_text():
    shares: Registry[object] = Registry("share")

    @shares.register("half")
    @dataclass(frozen=True)
    class Half:
        of: int = 2

        def __post_init__(self):
            raise InputError(f"of is {self.of}, expected an even number; correct it")

    with pytest.raises(InputError, match=r"^share 'half:of=3': of is 3, expected an even number; correct it$"):
        parse_spec("half:of=3", shares)


def test_a_value_without_text_form_is_refused():
    with pytest.raises(InputError, match="setting 'several' of 'list' is a list, which has no text form"):
        spec_of("list", List([1]))
