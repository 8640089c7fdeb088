"""Names survive every file: what one command accepts as a word, each later one reads back as it was."""

import json
import unicodedata

import numpy as np
import pytest
import torch
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from satlab.errors import InputError
from satlab.generators import HMM, Sentences, load_language
from satlab.generators.corpus.manifest import open_corpus
from satlab.generators.corpus.writer import write_corpus

ODD = [
    *(
        "a\\b",
        "\\",
        "New York",
        " ",
        " a ",
        "it's",
        '"',
        "'",
        "a#b",
        "%",
        "|",
        "->",
        "[0.5]",
        "null",
        "yes",
        "1",
        "2024-13-45",
    ),
    *(
        "\u0645\u06cc\u200c\u0631\u0648\u062f",
        "\u200d",
        "\u00a0",
        "a\u00a0b",
        "\t",
        "a\nb",
        "\x85",
        "\u2028",
        "\ufeff",
        "\x1b[31m",
    ),
    *(
        "\U0001f468\u200d\U0001f469",
        unicodedata.normalize("NFD", "\u00e9"),
        "\u00e9",
        "x" * 300,
        "\u4e2d\u6587",
        "a\0b",
    ),
]
WORD = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12).filter(lambda word: not word.endswith("\0"))
SLOW = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]


def chain(words):
    """An HMM of one state that says each word as often."""
    return HMM([1.0], [[1.0]], [[1 / len(words)] * len(words)], 2, words)


@settings(deadline=None, max_examples=60, suppress_health_check=SLOW)
@given(st.lists(WORD, min_size=2, max_size=6, unique=True))
@example(ODD)
def test_words_of_an_hmm_survive_npz_and_yaml(tmp_path, words):
    language = chain(words)
    path = language.save(str(tmp_path / "chain"))
    back = load_language(path)
    assert list(back.words) == words
    assert back.fingerprint() == language.fingerprint()
    row = [1 / len(words)] * len(words)
    content = {"family": "hmm", "initial": [1], "transition": [[1]], "emission": [row], "length": 2, "words": words}
    (tmp_path / "chain.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    assert load_language(tmp_path / "chain.yaml").fingerprint() == language.fingerprint()


@settings(deadline=None, max_examples=10, suppress_health_check=SLOW)
@given(st.lists(WORD, min_size=2, max_size=6, unique=True), st.sampled_from(["parquet", "bin"]))
@example(ODD, "parquet")
@example(ODD, "bin")
def test_words_of_an_hmm_survive_a_corpus(tmp_path_factory, words, format):
    folder, language = tmp_path_factory.mktemp("odd") / "corpus", chain(words)
    assert list(write_corpus(language, "a chain", 20, folder, format=format)) == [20]
    corpus = open_corpus(folder)
    assert corpus.manifest["words"] == words == json.loads((folder / "manifest.json").read_text())["words"]
    back = load_language(folder)
    assert list(back.words) == words
    assert back.fingerprint() == corpus.manifest["fingerprint"] == language.fingerprint()
    tokens, lengths = corpus.tokens(0)
    assert (lengths == 2).all()
    assert torch.isfinite(back.log_prob(tokens.reshape(20, 2))).all()


@pytest.mark.parametrize(
    ("words", "match"),
    [
        (["a", "b\0"], "ends with NUL"),
        (["a", "\ud800"], "half a surrogate pair"),
        (["a", 1.5], "the word 1.5 is not a string"),
        (["a", True], "the word True is not a string"),
        (["a", None], "the word None is not a string"),
        (["a", "a"], "'a' is given twice"),
        (["1", 1], "'1' is given twice"),
    ],
)
def test_words_that_no_file_can_hold(words, match):
    with pytest.raises(InputError, match=match):
        chain(words)


def test_words_may_be_numbers_and_numpy_strings():
    assert chain([7, np.int64(8), np.str_("a")]).words == ("7", "8", "a")
    assert [type(word) for word in chain(np.array(["a", "b"])).words] == [str, str]


INTEGERS = ["i1", "u1", "<i2", ">i2", "<u2", ">u2", "<i4", "<u4", ">i8", "<u8"]
LANGUAGES = {
    "hmm": lambda: load_language("demo-hmm"),
    "pcfg": lambda: load_language("demo-pcfg"),
    "dyck": lambda: load_language({"preset": "dyck-1"}),
    "brackets": lambda: load_language({"family": "brackets", "length": 8}),
    "posterior": lambda: load_language({"preset": "wei2021-hmm", "states": 4, "words": 5, "length": 6}),
}


def as_given(values, kind, array):
    """The same numbers as an array or a tensor of this dtype."""
    stored = values.numpy().astype(kind)
    return stored if array else torch.from_numpy(stored.astype(stored.dtype.newbyteorder("=")))


def answers(language, tokens, lengths, latents):
    """All that a language says of sentences, its tasks' labels included."""
    hidden = torch.zeros(len(tokens), tokens.shape[1], dtype=torch.bool)
    hidden[:, 0] = True
    yield language.log_prob(tokens, lengths)
    yield language.log_prob(tokens)
    yield language.conditional(tokens, lengths, hidden)
    yield language.conditional_at(tokens, lengths, hidden)
    yield language.next_word(tokens, lengths)
    if hasattr(language, "posterior"):
        yield language.posterior(tokens, lengths)
    for task in language.tasks.values():
        if not task.own_inputs:
            yield task.labels(Sentences(tokens, lengths, latents))


@pytest.mark.parametrize("name", LANGUAGES)
def test_tokens_of_every_integer_dtype_are_the_same_tokens(name):
    language = LANGUAGES[name]()
    drawn = language.sample(4, torch.Generator().manual_seed(0))
    expected = list(answers(language, drawn.tokens, drawn.lengths, drawn.latents))
    for kind in INTEGERS:
        for array in (True, False):
            latents = {k: as_given(v, kind if kind[-2] != "u" else "<i2", array) for k, v in drawn.latents.items()}
            given_tokens, lengths = as_given(drawn.tokens, kind, array), as_given(drawn.lengths, kind, array)
            for one, two in zip(answers(language, given_tokens, lengths, latents), expected, strict=True):
                assert torch.equal(one, two)
                assert one.dtype == two.dtype


@pytest.mark.parametrize("name", LANGUAGES)
@pytest.mark.parametrize("kind", ["f4", "f8", "?", "c8", "U1"])
def test_tokens_of_any_other_dtype_are_refused_by_name(name, kind):
    language = LANGUAGES[name]()
    drawn = language.sample(2, torch.Generator().manual_seed(0))
    stored = drawn.tokens.numpy().astype(kind)
    dtypes = [stored] if kind == "U1" else [stored, torch.from_numpy(stored)]
    for tokens in dtypes:
        for method in (language.log_prob, language.conditional, language.next_word):
            with pytest.raises(InputError, match=f"tokens are {str(tokens.dtype)[:5]}.*, expected integers"):
                method(tokens)


def test_lengths_and_hidden_positions_of_other_kinds_are_refused():
    language = load_language("demo-hmm")
    tokens = torch.zeros(2, 8, dtype=torch.int64)
    with pytest.raises(InputError, match=r"lengths are torch\.float32, expected integers"):
        language.log_prob(tokens, torch.ones(2))
    with pytest.raises(InputError, match=r"lengths has shape \[3\], expected \[2\]"):
        language.log_prob(tokens, torch.tensor([8, 8, 8]))
    with pytest.raises(InputError, match=r"hidden is torch\.int64, expected torch\.bool"):
        language.conditional(tokens, None, tokens)
    with pytest.raises(InputError, match=r"hidden has shape \[2, 3\], expected \[2, 8\]"):
        language.conditional(tokens, None, torch.ones(2, 3, dtype=torch.bool))
    with pytest.raises(InputError, match="rows of equal length"):
        language.log_prob([[1, 2], [3]])
