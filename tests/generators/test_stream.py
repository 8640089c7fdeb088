"""Training batches are pure functions of (seed, step); the held-out set carries the exact truth."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from support.networks import GRAMMAR, GRAMMAR_LENGTH, demo_hmm, gap, grammar_language
from support.oracles import enumerated
from support.untouched import untouched
from support.words import assert_frequencies, conditional_table, generator

from satlab.errors import InputError, StoppedError
from satlab.generators import batches as streams
from satlab.generators.batches import Batch, Stream, evaluation_set, exact_truth
from satlab.generators.corpus.manifest import open_corpus
from satlab.generators.corpus.stream import CorpusStream
from satlab.generators.corpus.writer import write_corpus
from satlab.generators.loss_floor import entropies_of_truth

MASKINGS = ("one", "bernoulli:0.4")


def same(one, other):
    return all(torch.equal(getattr(one, f), getattr(other, f)) for f in ("inputs", "rows", "positions", "targets"))


def check_masked(batch, sentences, language):
    """The batch is these sentences with mask_id at (rows, positions), where targets are the words, and nowhere else."""
    hidden = torch.zeros_like(sentences.tokens, dtype=torch.bool)
    for row, position in zip(batch.rows.tolist(), batch.positions.tolist(), strict=True):
        assert not hidden[row, position]
        assert position < sentences.lengths[row]
        hidden[row, position] = True
    assert torch.equal(batch.inputs == language.mask_id, hidden)
    assert torch.equal(batch.inputs[~hidden], sentences.tokens[~hidden])
    assert batch.targets.tolist() == sentences.tokens[batch.rows, batch.positions].tolist()
    assert all(0 <= target < language.vocab_size for target in batch.targets.tolist())
    order = list(zip(batch.rows.tolist(), batch.positions.tolist(), strict=True))
    assert order == sorted(order)


@pytest.mark.parametrize("masking", [*MASKINGS, "next"])
@pytest.mark.parametrize("make", [demo_hmm, grammar_language])
def test_a_batch_depends_on_seed_and_step_alone(make, masking):
    fresh = Stream(make(), 16, 7, masking).batch(5)
    stream = Stream(make(), 16, 7, masking)
    for step in (9, 1, 5, 4):
        stream.batch(step)
    torch.manual_seed(123)
    assert same(fresh, stream.batch(5))
    assert same(fresh, stream.batch(5))
    assert not torch.equal(fresh.inputs, stream.batch(6).inputs)
    assert not torch.equal(fresh.inputs, Stream(make(), 16, 8, masking).batch(5).inputs)


def test_batches_leave_the_global_random_state_alone():
    with untouched():
        Stream(demo_hmm(), 4, 0).batch(1)
        evaluation_set(demo_hmm(), 4, 0)


@pytest.mark.parametrize("masking", MASKINGS)
@pytest.mark.parametrize("make", [demo_hmm, grammar_language])
def test_targets_are_the_hidden_words_and_nothing_else_changes(make, masking, record):
    language = record(make())
    for step in range(1, 6):
        batch = Stream(language, 32, 3, masking).batch(step)
        check_masked(batch, language.drawn[-1], language)
    held_out = evaluation_set(language, 64, 3, masking)
    check_masked(held_out.batch, language.drawn[-1], language)
    assert len(held_out) == len(held_out.batch.rows) == len(held_out.truth)


def test_one_hides_one_word_a_sentence_uniformly():
    batch = Stream(demo_hmm(), 8000, 1).batch(1)
    assert batch.rows.tolist() == list(range(8000))
    assert_frequencies(batch.positions.tolist(), dict.fromkeys(range(8), 1 / 8))


@pytest.mark.parametrize(("masking", "rate"), [("bernoulli", 0.15), ("bernoulli:0.4", 0.4), ("bernoulli:1", 1.0)])
def test_bernoulli_hides_every_word_with_its_rate(masking, rate, record):
    language = record(grammar_language())
    batch = Stream(language, 4000, 1, masking).batch(1)
    words = int(language.drawn[-1].lengths.sum())
    assert abs(len(batch.rows) - rate * words) <= 4.5 * math.sqrt(words * rate * (1 - rate))


def test_masking_sentences_accepts_hiding_nothing_and_everything(record):
    language = record(grammar_language())
    Stream(language, 6, 0).batch(1)
    sentences = language.drawn[-1]
    nothing = torch.zeros_like(sentences.tokens, dtype=torch.bool)
    everything = sentences.tokens != language.pad_id
    for hidden in (nothing, everything):
        batch = sentences.mask(hidden, language.mask_id)
        check_masked(batch, sentences, language)
        assert len(batch.rows) == int(hidden.sum())


@pytest.mark.parametrize("masking", MASKINGS)
def test_truth_is_the_languages_conditional_at_the_hidden_position(masking, record):
    language = record(grammar_language())
    held_out = evaluation_set(language, 48, 2, masking)
    sentences, batch = language.drawn[-1], held_out.batch
    for i, (row, position) in enumerate(zip(batch.rows, batch.positions, strict=True)):
        length = sentences.lengths[row]
        tokens = sentences.tokens[row : row + 1, :length]
        hidden = batch.inputs[row : row + 1, :length] == language.mask_id
        expected = language.conditional(tokens, hidden=hidden)[0, position]
        assert (held_out.truth[i] - expected).abs().max() < 1e-13
        if masking == "one":
            assert (held_out.truth[i] - language.conditional(tokens)[0, position]).abs().max() < 1e-13


@pytest.mark.parametrize("masking", MASKINGS)
def test_truth_is_what_listing_all_sentences_gives(masking, record):
    language = record(grammar_language())
    enumeration = enumerated(GRAMMAR, GRAMMAR_LENGTH)
    held_out = evaluation_set(language, 40, 5, masking)
    sentences, batch = language.drawn[-1], held_out.batch
    strings = [tuple(line.split(" ")) for line in language.decode(sentences)]
    table = conditional_table(language, enumeration, strings, batch.inputs == language.mask_id)
    assert (held_out.truth - table[batch.rows, batch.positions]).abs().max() < 1e-12
    assert held_out.truth.dtype == torch.float64


def test_truth_does_not_depend_on_the_hidden_words(record):
    language = record(demo_hmm())
    held_out = evaluation_set(language, 32, 0, "bernoulli:0.5")
    tokens, hidden = language.drawn[-1].tokens.clone(), held_out.batch.inputs == language.mask_id
    tokens[hidden] = 3
    assert torch.equal(language.conditional_at(tokens, None, hidden), held_out.truth)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_held_out_sentences_are_none_that_training_draws(seed, record):
    language = record(demo_hmm())
    evaluation_set(language, 64, seed)
    held_out = language.drawn[-1].tokens
    for step in range(60):
        Stream(language, 64, seed).batch(step)
        # Eight random words of ten coincide in a row by chance; whole blocks of rows do not.
        assert (language.drawn[-1].tokens == held_out).all(1).float().mean() < 0.1


def test_held_out_set_is_fixed_by_its_seed():
    one, again, other = (evaluation_set(demo_hmm(), 32, seed) for seed in (4, 4, 5))
    assert same(one.batch, again.batch)
    assert torch.equal(one.truth, again.truth)
    assert not torch.equal(one.batch.inputs, other.batch.inputs)


@pytest.mark.parametrize("masking", MASKINGS)
def test_floor_is_the_entropy_of_the_truth(masking):
    language = grammar_language()
    held_out = evaluation_set(language, 2000, 1, masking)
    entropies = [-math.fsum(p * math.log(p) for p in row if p > 0) for row in held_out.truth.tolist()]
    assert held_out.floor.value == pytest.approx(np.mean(entropies), rel=1e-12)
    assert held_out.floor.n == 2000
    enumeration = enumerated(GRAMMAR, GRAMMAR_LENGTH)
    if masking == "one":
        assert abs(held_out.floor.value - enumeration.floor_one()) < 4 * held_out.floor.stderr
        assert held_out.floor.stderr == pytest.approx(np.std(entropies, ddof=1) / math.sqrt(2000), rel=1e-10)


def test_floor_under_bernoulli_masking_is_the_expected_one():
    language = grammar_language()
    enumeration = enumerated(GRAMMAR, 4)
    language = type(language).from_string(GRAMMAR, 4)
    floor = evaluation_set(language, 6000, 1, "bernoulli:0.4").floor
    assert abs(floor.value - enumeration.floor_bernoulli(0.4)) < 4 * floor.stderr
    assert 0 < floor.stderr < 0.02


def test_mean_takes_each_sentence_as_one_draw():
    rows = torch.tensor([0, 0, 0, 2, 3, 3])
    inputs = torch.zeros(5, 4, dtype=torch.long)
    batch = type(Stream(demo_hmm(), 1, 0).batch(1))(inputs, rows, torch.tensor([0, 1, 2, 0, 0, 1]), rows)
    estimate = batch.mean(torch.tensor([1.0, 2.0, 3.0, 4.0, 6.0, 8.0]))
    sums, counts = np.array([6.0, 0, 4, 14, 0]), np.array([3.0, 0, 1, 2, 0])
    assert estimate.value == pytest.approx(4.0)
    assert estimate.stderr == pytest.approx(np.std(sums - 4 * counts, ddof=1) / math.sqrt(5) / 1.2, rel=1e-12)
    assert estimate.n == 5


@pytest.mark.parametrize("masking", ["two", "one:0.5", "bernoulli:0", "bernoulli:x", "", "next:0.5", "nxt"])
def test_a_masking_nobody_knows_is_refused(masking):
    with pytest.raises(InputError, match="masking"):
        Stream(demo_hmm(), 4, 0, masking).batch(1)
    with pytest.raises(InputError, match="masking"):
        evaluation_set(demo_hmm(), 4, 0, masking)


# ---- the next word


def test_next_reads_cls_and_then_the_words_and_predicts_each_of_them_and_the_end(record):
    language = record(grammar_language())
    batches = [Stream(language, 32, 3, "next").batch(4), evaluation_set(language, 32, 3, "next").batch]
    for batch, sentences in zip(batches, language.drawn, strict=True):
        assert (batch.inputs[:, 0] == language.vocab_size + 2).all()
        assert torch.equal(batch.inputs[:, 1:], sentences.tokens)
        expected = [
            (row, t, word)
            for row, (words, length) in enumerate(
                zip(sentences.tokens.tolist(), sentences.lengths.tolist(), strict=True)
            )
            for t, word in enumerate([*words[:length], language.pad_id])
        ]
        assert list(zip(batch.rows.tolist(), batch.positions.tolist(), batch.targets.tolist(), strict=True)) == expected
        assert len(sentences.lengths.unique()) >= 3


def test_truth_of_the_next_word_is_what_listing_all_sentences_gives():
    language, probabilities = grammar_language(), enumerated(GRAMMAR, GRAMMAR_LENGTH).probabilities
    stream, held_out = Stream(language, 30, 2, "next"), evaluation_set(language, 30, 2, "next")
    batch = stream.batch(1)
    for some, truth in ((batch, stream.truth(batch)), (held_out.batch, held_out.truth)):
        assert truth.dtype == torch.float64
        for i, (row, t) in enumerate(zip(some.rows.tolist(), some.positions.tolist(), strict=True)):
            begin = tuple(language.words[token] for token in some.inputs[row, 1 : t + 1].tolist())
            expected = torch.zeros(language.vocab_size + 1, dtype=torch.float64)
            for string, p in probabilities.items():
                if string[:t] == begin:
                    expected[language.words.index(string[t]) if len(string) > t else language.vocab_size] += p
            assert (truth[i] - expected / expected.sum()).abs().max() < 1e-12


def test_floor_of_the_next_word_is_the_entropy_of_a_sentence():
    """E sum_t H(x_t | x_<t) = H(x), over E (T + 1) predictions."""
    probabilities = enumerated(GRAMMAR, GRAMMAR_LENGTH).probabilities
    entropy = -math.fsum(p * math.log(p) for p in probabilities.values())
    exact = entropy / math.fsum(p * (len(string) + 1) for string, p in probabilities.items())
    language = grammar_language()
    held_out, floor = evaluation_set(language, 3000, 1, "next").floor, language.loss_floor(6000, generator(1), "next")
    for estimate, n in ((held_out, 3000), (floor, 6000)):
        assert abs(estimate.value - exact) < 4 * estimate.stderr
        assert 0 < estimate.stderr < 0.02
        assert estimate.n == n
    sentences = language.sample(50, generator(2), latents=False)
    entropies, counts = entropies_of_truth(language, sentences, "next", generator(0))
    assert torch.equal(counts, sentences.lengths + 1.0)
    for row, length in enumerate(sentences.lengths.tolist()):
        truth = language.next_word(sentences.tokens[row : row + 1, :length])[0]
        terms = [-math.fsum(p * math.log(p) for p in place if p > 0) for place in truth.tolist()]
        assert entropies[row].item() == pytest.approx(math.fsum(terms), rel=1e-12)


@pytest.mark.parametrize("masking", MASKINGS)
def test_the_truth_of_a_batch_is_that_of_its_sentences(masking):
    language = grammar_language()
    stream = Stream(language, 40, 3, masking)
    batch = stream.batch(2)
    tokens, hidden = batch.inputs.clone(), batch.inputs == language.mask_id
    tokens[batch.rows, batch.positions] = batch.targets
    expected = language.conditional(tokens, None, hidden)[batch.rows, batch.positions]
    assert (stream.truth(batch) - expected).abs().max() < 1e-13


def test_sentences_of_a_corpus_are_read_from_left_to_right_too(tmp_path):
    list(write_corpus(grammar_language(), "m", 47, tmp_path, 3, False, "parquet", shard_sentences=10))
    corpus, language = open_corpus(tmp_path), grammar_language()
    for step in (1, 6, 13):
        one, following = (CorpusStream(corpus, language, 8, 5, masking).batch(step) for masking in ("one", "next"))
        words = one.inputs.clone()
        words[one.rows, one.positions] = one.targets
        assert torch.equal(following.inputs[:, 1:], words)
        lengths = (words != language.pad_id).sum(1)
        assert torch.equal(following.rows.bincount(), lengths + 1)
        ends = following.targets == language.pad_id
        assert torch.equal(following.positions[ends], lengths)
        spoken = following.inputs[following.rows[~ends], following.positions[~ends] + 1]
        assert torch.equal(following.targets[~ends], spoken)


@pytest.mark.parametrize("masking", ["one", "bernoulli:0.4", "next"])
@pytest.mark.parametrize("make", [demo_hmm, grammar_language])
def test_the_truth_may_be_worked_out_in_chunks_between_which_it_can_be_stopped(make, masking, monkeypatch):
    language, asked = make(), []
    monkeypatch.setattr(streams, "TRUTH_CHUNK", 7)
    batches = Stream(language, 30, 2, masking)
    batch = batches.batch(1)
    whole = batches.truth(batch)
    assert gap(batches.truth(batch, lambda: bool(asked.append(1))), whole) < 1e-14
    assert len(asked) == 5
    for chunk in range(1, 6):
        asked.clear()
        with pytest.raises(StoppedError):
            batches.truth(batch, lambda chunk=chunk: asked.append(1) or len(asked) == chunk)
        assert len(asked) == chunk
    held_out = evaluation_set(language, 30, 2, masking)
    assert gap(held_out.truth, batches.truth(held_out.batch)) < 1e-14
    with pytest.raises(StoppedError):
        evaluation_set(language, 30, 2, masking, stops=lambda: True)


@pytest.mark.parametrize(("length", "looks"), [(8, 1), (181, 1), (200, 2), (400, 5), (10_000, 1000)])
def test_chunks_of_long_sentences_are_smaller(length, looks):
    """A CPU takes minutes for the truth of 1,000 long ones."""
    nothing = torch.zeros(1000, dtype=torch.long)
    asked, batch = [], Batch(torch.zeros(1000, length), torch.arange(1000), nothing, nothing)
    language = SimpleNamespace(
        device=torch.device("cpu"), mask_id=1, conditional_at=lambda inputs, *rest: inputs[:, :1]
    )
    assert len(exact_truth(language, batch, "one", lambda: bool(asked.append(1)))) == 1000
    assert len(asked) == looks
