"""The law of a label given the words read so far, against sums over all sentences and all paths."""

import itertools

import numpy as np
import pytest
import torch
from support.networks import demo_hmm, gap, grammar_language, tiny_hmm
from support.random_languages import random_hmm_arrays
from support.words import generator

from satlab.errors import InputError
from satlab.generators import HMM, PCFG, Sentences, load_language
from satlab.generators.batches import make_batch
from satlab.generators.pcfg.tasks import TreeSymbol
from satlab.generators.prefixes.all_prefixes import all_prefixes
from satlab.generators.prefixes.task import draw_labels, find_prefix_task, listed_prefix_tasks, prefix_tasks


def every_path(language):
    """(tokens, states, probability) of all sentences with all paths of an HMM, by the definition."""
    transition = language.transition
    for states in itertools.product(range(language.num_states), repeat=language.max_length):
        chain = float(language.initial[states[0]])
        for one, other in itertools.pairwise(states):
            chain *= float(transition[one, other])
        for tokens in itertools.product(range(language.vocab_size), repeat=language.max_length) if chain else ():
            p = chain
            for state, token in zip(states, tokens, strict=True):
                p *= float(language.emission[state, token])
            if p:
                yield tokens, states, p


def law_by_sums(language, label, classes):
    """{prefix: [classes]} from every path; label(states, t) is a class or None."""
    found = {}
    for tokens, states, p in every_path(language):
        for t in range(language.max_length + 1):
            row = found.setdefault(tokens[:t], np.zeros(classes))
            if (number := label(states, t)) is not None:
                row[number] += p
    return found


def check_against(task, language, expected):
    batch, weights = all_prefixes(language, 10**5)
    assert len(batch.rows) == len(expected)
    assert float(weights.sum()) == pytest.approx(1, abs=1e-12)
    law = task.at(batch)
    for row, prefix in enumerate(prefixes_of(batch)):
        wanted = expected[prefix]
        wanted = wanted / wanted.sum() if wanted.sum() else wanted
        assert np.abs(law[row].numpy() - wanted).max() < 1e-12
    whole = task.posteriors(batch.inputs[:, 1:])
    lengths = (batch.inputs[:, 1:] != language.pad_id).sum(1)
    assert float((whole * (torch.arange(whole.shape[1]) > lengths[:, None])[..., None]).abs().sum()) == 0


def prefixes_of(batch):
    places = zip(batch.rows.tolist(), batch.positions.tolist(), strict=True)
    return [tuple(batch.inputs[row, 1 : position + 1].tolist()) for row, position in places]


@pytest.mark.parametrize("seed", [1, 2, 5, 8])
@pytest.mark.parametrize("ahead", [0, 1, 2])
def test_states_of_a_chain(seed, ahead):
    initial, transition, emission, length = random_hmm_arrays(seed)
    language = HMM(initial, transition, emission, min(length, 3))
    if ahead > language.max_length:
        with pytest.raises(InputError, match=f"ahead is {ahead}, expected at most {language.max_length}"):
            find_prefix_task(language, f"state:ahead={ahead}")
        return

    def label(states, t):
        at = t + ahead - 1
        return states[at] if 0 <= at < len(states) else None

    task = find_prefix_task(language, f"state:ahead={ahead}")
    check_against(task, language, law_by_sums(language, label, language.num_states))


def test_the_block_of_a_chain():
    initial, transition, emission, length = random_hmm_arrays(8)
    language = HMM(initial, transition, emission, min(length, 3))
    size = language.blocks.shape[1]
    check_against(
        find_prefix_task(language, "block"), language, law_by_sums(language, lambda states, t: states[0] // size, 2)
    )


def test_the_next_word():
    language = tiny_hmm()
    chosen = {0, 2}
    expected = {}
    for tokens, _, p in every_path(language):
        for t in range(language.max_length + 1):
            row = expected.setdefault(tokens[:t], np.zeros(2))
            row[int(t < len(tokens) and tokens[t] in chosen)] += p
    words = " ".join(language.words[i] for i in sorted(chosen))
    check_against(find_prefix_task(language, f"next-word:words={words}"), language, expected)


GRAMMARS = {
    "lengths": grammar_language,
    "unary": lambda: PCFG.from_string(
        "S -> A [0.5] | B [0.5]\nA -> 'a' B [0.5] | B [0.5]\nB -> 'b' [0.75] | 'a' A [0.25]", 4
    ),
}


@pytest.mark.parametrize("name", list(GRAMMARS))
@pytest.mark.parametrize(("symbols", "words"), [("S A", None), ("A S", 1), ("A", 2)])
def test_the_symbol_of_a_grammar(name, symbols, words):
    """P(symbol | prefix) = sum over the sentences that begin so of P(x) P(symbol | x)."""
    language = GRAMMARS[name]()
    task = find_prefix_task(language, f"symbol:symbols={symbols}" + (f",words={words}" if words else ""))
    prefixes = [prefix for prefix in prefixes_of(all_prefixes(language, 10**5)[0]) if prefix]
    width = max(map(len, prefixes))
    tokens = torch.tensor([[*prefix, *[language.pad_id] * (width - len(prefix))] for prefix in prefixes])
    lengths = torch.tensor(list(map(len, prefixes)))
    ends = language.next_word(tokens, lengths)[torch.arange(len(tokens)), lengths, -1] > 0
    sentences = Sentences(tokens[ends], lengths[ends])
    laws = (
        TreeSymbol("x", language, task.span).posterior(sentences)
        * language.log_prob(sentences.tokens, sentences.lengths).exp()[:, None]
    )
    expected = {}
    for row, length, law in zip(sentences.tokens.tolist(), sentences.lengths.tolist(), laws.numpy(), strict=True):
        for t in range(length + 1):
            expected.setdefault(tuple(row[:t]), np.zeros(len(task.classes)))
            expected[tuple(row[:t])] += law
    check_against(task, language, expected)


def test_labels_follow_their_law():
    law = torch.tensor([[0.2, 0.8, 0.0]], dtype=torch.float64).expand(20_000, 3)
    drawn = draw_labels(law, generator(0))
    assert float((drawn == 1).double().mean()) == pytest.approx(0.8, abs=4 * (0.16 / 20_000) ** 0.5)
    assert int(drawn.max()) == 1


def test_a_batch_is_read_where_it_asks():
    language = demo_hmm()
    batch = make_batch(language.sample(5, generator(1), latents=False), "next", language.vocab_size, generator(0))
    task = find_prefix_task(language, "state")
    whole = task.posteriors(batch.inputs[:, 1:])
    assert gap(task.at(batch), whole.reshape(-1, 4)) == 0


def test_names():
    assert {"state", "block", "next-word"} <= set(listed_prefix_tasks(demo_hmm()))
    assert {"symbol-A", "next-word"} <= set(listed_prefix_tasks(load_language("demo-pcfg")))
    assert find_prefix_task(demo_hmm(), "state:ahead=1").name == "state"
    assert set(prefix_tasks) == {"state", "block", "next-word", "symbol"}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("stat", "did you mean 'state'"),
        ("symbol", "has no prefix task 'symbol', expected one of"),
        ("state:ahead=-1", "ahead is -1, expected at least 0"),
        ("next-word:words=nothing", "unknown word 'nothing'"),
    ],
)
def test_wrong_names(name, message):
    with pytest.raises(InputError, match=message):
        find_prefix_task(demo_hmm(), name)


def test_positive_classes():
    task = find_prefix_task(demo_hmm(), "state")
    assert task.positive(None).tolist() == [True, True, False, False]
    assert task.positive("4").tolist() == [False, False, False, True]
    assert find_prefix_task(demo_hmm(), "block").positive(None).tolist() == [False, True]
    for names in ("", "1 2 3 4"):
        with pytest.raises(InputError, match="expected some, but not all, of the classes"):
            task.positive(names)
    with pytest.raises(InputError, match="unknown class '9'"):
        task.positive("9")


def test_too_many_prefixes_are_not_listed():
    assert all_prefixes(demo_hmm(), 100) is None
