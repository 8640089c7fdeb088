"""Languages from presets and files, and back: bit for bit, and errors that name the file."""

import numpy as np
import pytest
import torch
import yaml
from support.random_languages import all_pcfgs, random_hmm_arrays

from satlab.errors import InputError
from satlab.generators import HMM, PCFG, Span, load_language, preset_names
from satlab.generators.corpus.writer import write_corpus
from satlab.generators.pcfg.grammar import read_text
from satlab.lab.runs.run import check_run
from satlab.train import TrainConfig

SMALL = "S -> 'a' S [0.5] | 'a' [0.25] | 'b' [0.25]\n"


@pytest.mark.parametrize("seed", [0, 4, 8, 14])
def test_hmm_save_and_load(tmp_path, seed):
    initial, transition, emission, length = random_hmm_arrays(seed)
    words = [f"word {v}" for v in range(emission.shape[1])]
    language = HMM(initial, transition, emission, length, words)
    path = language.save(str(tmp_path / "chain"))
    back = load_language(path)
    assert path == str(tmp_path / "chain.npz")
    for name in ("initial", "blocks", "emission", "length_log_prob"):
        assert torch.equal(getattr(back, name), getattr(language, name))
    assert (back.words, back.max_length) == (tuple(words), length)
    assert load_language(path, 9).max_length == 9


@pytest.mark.parametrize("name", all_pcfgs())
def test_pcfg_save_and_load(tmp_path, name):
    text, max_length = all_pcfgs()[name]
    language = PCFG.from_string(text, max_length)
    path = language.save(str(tmp_path / "grammar"))
    back = load_language(path)
    assert path == str(tmp_path / "grammar.yaml")
    assert [(str(r), r.prob()) for r in back.grammar.productions] == [
        (str(r), r.prob()) for r in language.grammar.productions
    ]
    for table in ("emission", "closure", "pair_to_symbol", "leaf_to_symbol"):
        assert torch.equal(getattr(back.tables, table), getattr(language.tables, table))
    assert torch.equal(back.length_log_prob, language.length_log_prob)
    assert (back.words, back.max_length, back.spans) == (language.words, language.max_length, language.spans)


def test_pcfg_probabilities_without_short_decimals_and_own_tasks_are_kept(tmp_path):
    numbers = np.random.default_rng(0).dirichlet(np.full(40, 0.05))
    numbers = [1 / 3, 1e-17, 2e-300, 0.1 + 0.2, *(numbers * (2 / 3 - 0.1 - 0.2))]
    parts = " | ".join(f"'w{i}' [{format(p, '.340f')}]" for i, p in enumerate(numbers))
    language = PCFG(read_text(f"S -> {parts}\n"), 1, {"mine": Span(None, ("S",)), "two": Span(2, ("S",))})
    assert sorted(language.emission[0].tolist()) == sorted(p for p in numbers if p > 0)
    back = load_language(language.save(str(tmp_path / "grammar")))
    assert torch.equal(back.emission, language.emission)
    assert back.spans == language.spans


@pytest.mark.parametrize("name", ["demo-pcfg", "demo-hmm"])
def test_presets_are_the_same_every_time(name):
    assert name in preset_names()
    one, two = load_language(name), load_language(name)
    assert torch.equal(one.emission, two.emission)
    assert torch.equal(one.length_log_prob, two.length_log_prob)
    other = load_language({"preset": name, "seed": 1})
    assert other.emission.shape == one.emission.shape
    assert not torch.equal(other.emission, one.emission)
    assert (one.max_length, one.vocab_size) == {"demo-pcfg": (8, 8), "demo-hmm": (8, 10)}[name]


def test_presets_ignore_the_global_random_state():
    torch.manual_seed(1)
    one = load_language("demo-hmm")
    torch.manual_seed(2)
    np.random.seed(3)  # noqa: NPY002 (the global state, which must not matter)
    two = load_language("demo-hmm")
    assert torch.equal(one.blocks, two.blocks)


def test_grammar_files(tmp_path):
    (tmp_path / "small.pcfg").write_text(SMALL)
    (tmp_path / "points.yaml").write_text("file: small.pcfg\nmax_length: 4\n")
    assert load_language(tmp_path / "small.pcfg").max_length == 32
    assert load_language(str(tmp_path / "small.pcfg"), 5).max_length == 5
    assert load_language(tmp_path / "points.yaml").max_length == 4
    assert load_language({"family": "pcfg", "grammar": SMALL, "max_length": 3}).max_length == 3


def test_npz_in_the_names_of_hmmlearn(tmp_path):
    initial, transition, emission, _ = random_hmm_arrays(4)
    np.savez(tmp_path / "a.npz", startprob_=initial, transmat_=transition, emissionprob_=emission)
    language = load_language(tmp_path / "a.npz")
    assert language.max_length == 16
    assert torch.equal(language.emission, torch.from_numpy(emission))


@pytest.mark.parametrize(
    ("source", "match"),
    [
        ("demo-pcf", "unknown language 'demo-pcf': no preset, file or .* name; did you mean 'demo-pcfg'"),
        ("cfg3", "did you mean 'cfg3i'"),
        ("zzz", "'zzz': no preset, file or directory has this name; give the directory of a .*demo-hmm"),
        ("c33", r"give the directory of a corpus, a file \(.yaml, .yml, .pcfg, .npz\), or one of: brackets"),
        ("runs/cfg3i", "give the directory of a corpus"),
        ("corpus", "give the directory of a corpus"),
        ("nowhere.pcfg", "nowhere.pcfg: no such file"),
        ("nowhere.npz", "nowhere.npz: no such file"),
        ({"family": "hmn"}, "unknown family 'hmn': did you mean 'hmm'"),
        ({"family": "sticky-ring"}, "if a plug-in adds it, install that, or put it on PYTHONPATH"),
        ({}, "has neither 'family', 'preset' nor 'file'"),
        ({"preset": "demo-hm"}, "unknown preset 'demo-hm': did you mean 'demo-hmm'"),
        ({"preset": "demo-hmm", "stats": 3}, "unknown key of family random-hmm 'stats': did you mean 'states'"),
        ({"family": "pcfg", "rules": SMALL}, "unknown key of family pcfg 'rules', and 'grammar' is missing"),
        ({"family": "pcfg", "gramar": SMALL}, "unknown key of family pcfg 'gramar': did you mean 'grammar'"),
        ({"family": "pcfg"}, "family pcfg lacks the key 'grammar'"),
        (
            {"family": "pcfg", "grammar": SMALL, "max_length": "six"},
            "key 'max_length' is 'six', expected an integer",
        ),
        ({"family": "pcfg", "grammar": SMALL, "tasks": {"A": {"symbols": ["S"]}}}, "task A: expected words"),
        ({"file": "small.pcfg", "length": 3}, "unknown key 'length'"),
        ({"preset": "demo-hmm", "blocks": 3}, "3 blocks for 4 states"),
        ({"preset": "demo-pcfg", "rules": [2, 2]}, "4 layers with rules for 2"),
        ({"preset": "demo-pcfg", "words_per_symbol": 9}, "words"),
        ({"preset": "demo-pcfg", "exit_probability": [0.5]}, "exit"),
        ({"family": "hmm", "initial": [1], "transition": [[1], [1, 2]], "emission": [[1]]}, "not a table of numbers"),
    ],
)
def test_what_cannot_be_loaded(source, match):
    with pytest.raises(InputError, match=match):
        load_language(source)


def test_errors_name_the_file(tmp_path):
    contents = {
        "a.yaml": (yaml.safe_dump({"family": "pcfg", "grammar": "S -> T [1.0]"}), "a.yaml: the nonterminal T"),
        "b.yaml": ("family: [", "b.yaml: not YAML"),
        "c.yaml": ("- 1\n- 2\n", "c.yaml: expected a mapping"),
        "d.pcfg": ("S -> 'a' [0.5]\n", "d.pcfg: the rules of S sum to 0.5"),
        "e.pcfg": ("S => 'a' [1.0]\n", "e.pcfg: .*line 1"),
        "f.txt": ("S -> 'a' [1.0]\n", r"f.txt: unknown kind of file, expected the suffix .*\.pcfg"),
        "g.yaml": ("file: h.pcfg\n", "g.yaml: .*h.pcfg: no such file"),
    }
    for name, (content, match) in contents.items():
        (tmp_path / name).write_text(content)
        with pytest.raises(InputError, match=match):
            load_language(tmp_path / name)


@pytest.mark.parametrize("content", ["empty", "text", "half", "npy", "pickle", "strings", "lengths", "missing"])
def test_malformed_npz(tmp_path, content):
    path = tmp_path / "chain.npz"
    arrays = {"initial": np.ones(1), "transition": np.ones((1, 1)), "emission": np.ones((1, 1))}
    if content == "pickle":
        arrays["initial"] = np.array([{}], dtype=object)
    elif content == "strings":
        arrays["initial"] = np.array(["one"])
    elif content == "lengths":
        arrays["length"] = np.array([3, 4])
    elif content == "missing":
        del arrays["transition"]
    np.savez(path, **arrays)
    if content == "npy":
        with path.open("wb") as file:
            np.save(file, np.ones(3))
    elif content in ("empty", "text", "half"):
        whole = path.read_bytes()
        path.write_bytes({"empty": b"", "text": b"initial: 1\n", "half": whole[: len(whole) // 2]}[content])
    with pytest.raises(InputError, match=r"chain\.npz: "):
        load_language(path)


@pytest.mark.parametrize("name", ["demo-pcfg", "demo-hmm"])
def test_a_language_is_saved_to_paths_of_either_kind_and_only_where_a_directory_is(name, tmp_path):
    language = load_language(name)
    for path in (tmp_path / "one", str(tmp_path / "other"), tmp_path / f"third{language.suffix}"):
        assert load_language(language.save(path)).fingerprint() == language.fingerprint()
    assert (tmp_path / f"third{language.suffix}").is_file()
    with pytest.raises(InputError, match="nowhere: no such directory, expected one for x; create it first"):
        language.save(tmp_path / "nowhere" / "x")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ((-1, torch.Generator()), "num_sentences is -1, expected at least 0"),
        ((2.5, torch.Generator()), "num_sentences is 2.5, expected an integer"),
        ((3, 0), "generator is 0, expected a torch.Generator; use torch.Generator"),
    ],
)
@pytest.mark.parametrize("name", ["demo-pcfg", "demo-hmm"])
def test_odd_numbers_of_sentences_and_generators_are_named(name, given, message):
    with pytest.raises(InputError, match=message):
        load_language(name).sample(*given)


def test_a_mean_over_no_sentences_is_refused():
    with pytest.raises(InputError, match="num_sentences is 0, expected at least 1"):
        load_language("demo-hmm").loss_floor(0, torch.Generator())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({}, "has neither 'family', 'preset' nor 'file'"),
        ({"family": "pcfg", "grammar": "S -> 'a' [1.0]", "lengths": {}}, "lengths is empty, expected length: weight"),
    ],
)
def test_what_is_left_empty_is_named(content, message):
    with pytest.raises(InputError, match=message):
        load_language(content)


@pytest.mark.parametrize("make", [lambda a, b: PCFG.from_string(f"S -> '{a}' [0.5] | '{b}' [0.5]"), None])
def test_words_that_look_alike_stay_two_with_one_warning(make):
    one, other = "\u00e9t\u00e9", "e\u0301te\u0301"
    make = make or (lambda a, b: HMM([1.0], [[1.0]], [[0.5, 0.5]], 2, [a, b]))
    with pytest.warns(UserWarning, match="look alike") as caught:
        language = make(one, other)
    assert len(caught) == 1
    assert set(language.words) == {one, other}


def test_a_preset_and_the_corpus_of_a_directory_of_its_name_are_told_apart(tmp_path, monkeypatch):
    """Both commands that read a language and runs, which train on a corpus, take the same of the two."""
    monkeypatch.chdir(tmp_path)
    list(write_corpus(load_language("demo-hmm"), "demo-hmm", 20, tmp_path / "demo-pcfg"))
    config = TrainConfig(steps=4, batch_size=4)
    with pytest.warns(UserWarning, match=r"the preset, not the corpus .*; give \./demo-pcfg to read the corpus"):
        assert load_language("demo-pcfg").vocab_size == 8
    with pytest.warns(UserWarning, match="the preset, not the corpus"):
        language, wanted = check_run(tmp_path / "r", "demo-pcfg", "bert-1x8", config)
    assert (language.vocab_size, wanted.get("corpus")) == (8, None)
    language, wanted = check_run(tmp_path / "r", "./demo-pcfg", "bert-1x8", config)
    assert language.vocab_size == 10
    assert wanted["corpus"]["folder"] == str(tmp_path / "demo-pcfg")
