"""What an HMM is made from: hmmlearn's models, rows that are nearly probabilities, lengths that cost too much."""

import json
import re
import warnings
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hmmlearn.hmm import GMMHMM, CategoricalHMM, GaussianHMM, MultinomialHMM, PoissonHMM
from hmmlearn.vhmm import VariationalCategoricalHMM, VariationalGaussianHMM

from satlab.errors import InputError
from satlab.generators import HMM, PCFG
from satlab.generators.latent.stochastic import ROUNDING, TOLERANCE, as_sum
from satlab.lab.cli import main as cli
from satlab.lab.runs import memory_check as room

PROBABILITIES = {
    "startprob_": np.array([0.25, 0.75]),
    "transmat_": np.array([[0.5, 0.5], [0.25, 0.75]]),
    "emissionprob_": np.array([[0.5, 0.25, 0.25], [0.125, 0.375, 0.5]]),
}


def with_probabilities(model, **more):
    for name, table in (PROBABILITIES | more).items():
        setattr(model, name, table)
    return model


class OwnCategorical(CategoricalHMM):
    """Somebody's subclass."""


ONE_WORD = {
    "categorical": lambda: CategoricalHMM(2),
    "subclass": lambda: OwnCategorical(2),
    "variational": lambda: VariationalCategoricalHMM(2),
    "multinomial of one trial": lambda: MultinomialHMM(2, n_trials=1),
    "multinomial of one trial each": lambda: MultinomialHMM(2, n_trials=[1, 1, 1]),
    "no class of hmmlearn": SimpleNamespace,
}
OTHER = {
    "multinomial": (lambda: MultinomialHMM(2, n_trials=5), "MultinomialHMM emits the counts of several trials"),
    "multinomial of any": (lambda: MultinomialHMM(2), "MultinomialHMM emits the counts of several trials"),
    "multinomial, mixed": (lambda: MultinomialHMM(2, n_trials=[1, 2]), "the counts of several trials"),
    "gaussian": (lambda: with_probabilities(GaussianHMM(2), means_=np.zeros((2, 1))), "GaussianHMM emits real numbers"),
    "gaussian, unfitted": (lambda: GaussianHMM(2), "GaussianHMM emits"),
    "mixture": (lambda: GMMHMM(2), "GMMHMM emits"),
    "poisson": (lambda: PoissonHMM(2), "PoissonHMM emits"),
    "variational gaussian": (lambda: VariationalGaussianHMM(2), "VariationalGaussianHMM emits"),
    "of real numbers, by its own word": (
        lambda: SimpleNamespace(means_=np.zeros(2)),
        "SimpleNamespace emits real numbers",
    ),
}


@pytest.mark.parametrize("name", ONE_WORD)
def test_models_that_emit_one_word_are_read(name):
    language = HMM.from_hmmlearn(with_probabilities(ONE_WORD[name]()), 3)
    assert torch.equal(language.emission, torch.from_numpy(PROBABILITIES["emissionprob_"]))
    assert torch.equal(language.transition, torch.from_numpy(PROBABILITIES["transmat_"]))


@pytest.mark.parametrize("name", OTHER)
def test_models_that_emit_anything_else_are_refused_by_what_it_is(name):
    make, match = OTHER[name]
    with pytest.raises(InputError, match=match):
        HMM.from_hmmlearn(with_probabilities(make()), 3)


def test_a_model_that_is_not_fitted_is_told_to_be():
    for model in (CategoricalHMM(2), SimpleNamespace(startprob_=np.ones(1)), object()):
        with pytest.raises(InputError, match=r"has no probabilities .*fit it"):
            HMM.from_hmmlearn(model, 3)


def test_one_warning_counts_the_rows_of_float32():
    rng = np.random.default_rng(0)
    tables = [rng.dirichlet(np.ones(100), size).astype(np.float32) for size in (1, 100, 100)]
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        language = HMM(tables[0][0], tables[1], tables[2], 3)
    assert len(said) == 1
    text = str(said[0].message)
    assert re.search(r"the transition probabilities of state \d+, \d+, \d+ and \d+ more \(\d+ rows\) sum to ", text)
    assert re.search(r"the emission probabilities of state \d+, \d+, \d+ and \d+ more \(\d+ rows\) sum to ", text)
    assert text.endswith("; renormalised")
    assert not re.search(r"sum to 1[ ;]|\.\. 1[ ;]", text)
    assert (language.emission.sum(1) - 1).abs().max() < 1e-15


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize(("tolerance", "digits"), [(ROUNDING, 9), (TOLERANCE, 6)])
def test_a_sum_is_printed_with_the_digits_that_show_what_is_wrong(sign, tolerance, digits):
    for beyond in (1.001, 1.01, 1.5, 2.0, 1e6):
        total = 1 + sign * tolerance * beyond
        assert abs(float(as_sum(total, digits, tolerance)) - 1) > tolerance
    assert as_sum(0.9995) == "0.9995"


@pytest.mark.parametrize(
    ("number", "said"),
    [
        ("9" * 30, f"a number of 30 digits, expected at most {10**18}; give a smaller number; see satlab floor --help"),
        ("9" * 16, f"{'9' * 16}, expected at most {10**10}; give a smaller number"),
    ],
)
def test_a_floor_of_more_sentences_than_anyone_reads_is_refused(capsys, number, said):
    assert cli.run(["floor", "demo-hmm", "--sentences", number]) == 2
    assert capsys.readouterr().err == f"satlab: sentences is {said}\n"


def test_a_floor_of_sentences_too_long_for_memory_is_refused(capsys, monkeypatch):
    monkeypatch.setattr("satlab.system.memory.machine_memory", lambda: 2**30)
    assert cli.run(["floor", "demo-hmm", "--max-length", "10000000"]) == 2
    said = capsys.readouterr().err
    assert re.fullmatch(r"satlab: a sentence of 10,000,000 words out of 10: needs at least .* of memory, .*\n", said)


def test_a_floor_that_takes_long_says_so_first(capsys, monkeypatch):
    monkeypatch.setattr(room, "LONG", 100)
    monkeypatch.setattr(room, "TIMED", 50)
    monkeypatch.setattr(room, "MOST_SECONDS", 0.0)
    assert cli.run(["floor", "demo-hmm", "--max-length", "100", "--sentences", "2"]) == 0
    captured = capsys.readouterr()
    said = captured.err
    assert re.fullmatch(r"satlab: warning: 2 sentences of 100 words take about 0 minutes here; give fewer .*\n", said)
    timed = json.loads(captured.out)
    monkeypatch.setattr(room, "LONG", 1000)
    assert cli.run(["floor", "demo-hmm", "--max-length", "100", "--sentences", "2"]) == 0
    captured = capsys.readouterr()
    assert (json.loads(captured.out), captured.err) == (timed, "")


def test_times_as_people_read_them():
    assert [room.as_time(seconds) for seconds in (660, 10**4, 2 * 10**6, 10**9)] == [
        "11 minutes",
        "3 hours",
        "23 days",
        "32 years",
    ]


@pytest.mark.parametrize("length", ["4", 4.5, True, None])
def test_a_length_that_is_no_whole_number_is_refused(length):
    with pytest.raises(InputError, match=r"length is .*, expected an integer; correct it"):
        HMM([1.0], [[1.0]], [[0.5, 0.5]], length)
    if length is not None:
        with pytest.raises(InputError, match=r"max_length is .*, expected an integer; correct it"):
            PCFG.from_string("S -> 'a' [1.0]", length)


def test_an_empty_word_is_refused():
    with pytest.raises(InputError, match=r"a word is empty \(''\), expected at least one character"):
        HMM([1.0], [[1.0]], [[0.5, 0.5]], 2, ["a", ""])


HALF, ROWS = [0.5, 0.5], [[0.5, 0.25, 0.25], [0.25, 0.5, 0.25]]
SQUARE = [HALF, HALF]
SHAPES = {
    "transposed": (
        HALF,
        SQUARE,
        np.array(ROWS).T,
        "emission has shape [3, 2], expected [2, V], a row for each of the 2",
    ),
    "transposed, what to do": (HALF, SQUARE, np.array(ROWS).T, "a column for each word; transpose it"),
    "a row too many": (HALF, SQUARE, [*ROWS, ROWS[0]], "emission has shape [3, 3], expected [2, V]"),
    "flat": (HALF, SQUARE, HALF, "emission has shape [2], expected [2, V]"),
    "no words": (HALF, SQUARE, [[], []], "emission has shape [2, 0], expected [2, V]"),
    "initial as a row": ([HALF], SQUARE, ROWS, "initial has shape [1, 2], expected [K], one number for each state"),
    "no states": ([], SQUARE, ROWS, "initial has shape [0], expected [K]"),
    "not square": (HALF, ROWS, ROWS, "transition has shape [2, 3], expected [2, 2], as initial has 2 states"),
    "too small": (HALF, [[1.0]], ROWS, "transition has shape [1, 1], expected [2, 2]"),
    "too many blocks": (HALF, [SQUARE, SQUARE], ROWS, "transition has shape [2, 2, 2], expected [2, 2]"),
    "flat transition": (HALF, HALF, ROWS, "transition has shape [2], expected [2, 2]"),
}


@pytest.mark.parametrize("case", SHAPES)
def test_shapes_are_checked_before_sums(case):
    *tables, said = SHAPES[case]
    with pytest.raises(InputError, match=re.escape(said)):
        HMM(*tables, 4)
