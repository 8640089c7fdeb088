"""The held-out sentences grow where they leave open whether the model is saturated, and only there."""

import math
import warnings
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from support.divergences import plain_divergences
from support.networks import grammar_language, tiny_hmm
from support.training import comparable, session, short, trainer

from satlab.errors import InputError, StoppedError
from satlab.estimate import Estimate
from satlab.generators import batches as streams
from satlab.generators.batches import EvaluationSet, evaluation_set
from satlab.models.networks.lookup import LookupTable
from satlab.train import HeldOut, TrainConfig, kl_to_truth, saturation
from satlab.train.losses import divergences
from satlab.train.saturation import SaturationRule


def hmm():
    """A language whose positions differ in how far a tempered truth is from it."""
    return tiny_hmm(words=3, length=8)


CONFIG = TrainConfig(evaluation_sentences=4, most_evaluation_sentences=50, masking="one", seed=3)


class Tempered(LookupTable):
    """f(v) proportional to p*(v)^power: near the truth, and not equally near everywhere."""

    def __init__(self, language, power):
        super().__init__(language)
        self.power = power

    def logits(self, features):
        return self.power * features.log()


def all_parts(language, config):
    """Sets of 4, 4, 8, 16 sentences: 4, 8, 16, 32 in all; the next step would be more than 50."""
    return [
        evaluation_set(language, size, config.seed, config.masking, part=part)
        for part, size in enumerate([4, 4, 8, 16])
    ]


def expected(language, model, config):
    """The estimate over the first 4 * 2^k sentences for the least k at which the rule is content, else over all 32."""
    values = []
    for part in all_parts(language, config):
        values.extend(plain_divergences(model, part))
        mean, stderr = np.mean(values), np.std(values, ddof=1) / math.sqrt(len(values))
        if mean - 1.6448536269514722 * stderr >= config.threshold or stderr <= config.threshold / 10:
            break
    return mean, stderr, len(values)


@pytest.mark.parametrize("make", [hmm, grammar_language])
def test_the_set_grows_until_the_error_is_a_tenth_of_the_threshold(make):
    language, sizes = make(), set()
    model = Tempered(language, 0.7)
    begin = kl_to_truth(model, all_parts(language, CONFIG)[0])
    for share in (0.05, 0.3, 0.6, 0.8, 1.0, 1.25, 1.5, 2.0, 2.5, 3.0, 4.0, 8.0, 40.0):
        config = replace(CONFIG, threshold=share * begin.value)
        held_out = HeldOut(language, config)
        kl = held_out.measure(model).kl
        mean, stderr, n = expected(language, model, config)
        assert kl.n == n
        assert kl.value == pytest.approx(mean, abs=1e-12)
        assert kl.stderr == pytest.approx(stderr, abs=1e-12)
        assert sum(len(part.batch.inputs) for part in held_out.parts) == n
        sizes.add(n)
    assert 4 in sizes
    assert len(sizes) >= 3


class Never(SaturationRule):
    """A rule that no error is small enough for."""

    def undecided(self, kl):
        return True


@pytest.mark.parametrize(("most", "n"), [(4, 4), (7, 4), (8, 8), (15, 8), (16, 16), (250, 128)])
def test_the_set_grows_by_doubling_up_to_what_is_allowed(most, n):
    language = hmm()
    config = replace(CONFIG, most_evaluation_sentences=most)
    held_out = HeldOut(language, config)
    held_out.rule = Never(1.0)
    assert held_out.measure(Tempered(language, 0.9)).kl.n == n


@pytest.mark.parametrize("masking", ["one", "bernoulli:0.4"])
@pytest.mark.parametrize("make", [hmm, grammar_language])
def test_it_is_the_value_over_the_sets_joined(make, masking):
    language = make()
    model, config = Tempered(language, 0.7), replace(CONFIG, masking=masking)
    config = replace(config, threshold=kl_to_truth(model, all_parts(language, config)[0]).value)
    held_out = HeldOut(language, config)
    measured = held_out.measure(model)
    assert measured.kl.n > 4
    parts = all_parts(language, config)[: len(held_out.parts)]
    joined = EvaluationSet.joined(parts)
    again = kl_to_truth(model, joined)
    assert measured.kl.value == pytest.approx(again.value, abs=1e-12)
    assert measured.kl.stderr == pytest.approx(again.stderr, abs=1e-12)
    assert (measured.kl.n, measured.floor) == (again.n, joined.floor)
    # The same from the parts one by one: sums over sentences, and a ratio of them.
    entropies = torch.cat([torch.special.entr(part.truth).sum(1) for part in parts])
    assert measured.floor.value == pytest.approx(float(entropies.mean()), abs=1e-12)
    assert measured.floor.n == sum(len(part.batch.inputs) for part in parts)


def test_the_sentences_that_join_are_others():
    """Part 0 is the set of old, and no part repeats another."""
    language = hmm()
    parts = all_parts(language, CONFIG)
    first = evaluation_set(language, 4, CONFIG.seed, "one")
    assert torch.equal(parts[0].batch.inputs, first.batch.inputs)
    sentences = [tuple(row) for part in parts for row in part.batch.inputs.tolist()]
    assert len(set(sentences)) > 0.95 * len(sentences)


def test_what_is_measured_does_not_depend_on_what_was_measured_before():
    language = hmm()
    near, far = Tempered(language, 0.9), Tempered(language, 4.0)
    value = kl_to_truth(near, all_parts(language, CONFIG)[0]).value
    config = replace(CONFIG, threshold=value)
    alone = {model: HeldOut(language, config).measure(model) for model in (near, far)}
    assert alone[far].kl.n == 4 < alone[near].kl.n
    together = HeldOut(language, config)
    for model in (far, near, far, near, near, far):
        assert together.measure(model) == alone[model]


def test_further_sentences_are_drawn_once_and_only_where_they_are_needed(monkeypatch):
    language, drawn = hmm(), []

    def noting(language, size, seed, masking, part, stops):
        drawn.append((part, size))
        return evaluation_set(language, size, seed, masking, part=part)

    monkeypatch.setattr(saturation, "evaluation_set", noting)
    near, far = Tempered(language, 0.9), Tempered(language, 4.0)
    held_out = HeldOut(language, replace(CONFIG, threshold=1e-6))
    held_out.measure(far)
    assert drawn == [(0, 4)]
    held_out.rule = SaturationRule(held_out.measure(near).kl.value)
    assert drawn == [(0, 4)]
    for _ in range(3):
        held_out.measure(near)
        held_out.measure(far)
    assert drawn == [(0, 4), (1, 4), (2, 8), (3, 16)][: len(drawn)]
    assert len(drawn) > 1


@pytest.mark.parametrize(
    ("value", "stderr", "undecided"),
    [
        (0.0, 0.00099, False),
        (0.0, 0.00101, True),
        (0.005, 0.002, True),
        (0.012, 0.00122, True),
        (0.0121, 0.00122, False),
        (0.5, 0.29, False),
        (0.5, 0.31, True),
        (0.0, math.nan, False),
        (math.nan, 0.1, False),
        (math.inf, 0.1, False),
    ],
)
def test_undecided_is_who_may_be_saturated_and_is_known_poorly(value, stderr, undecided):
    """value - 1.645 stderr < 0.01 and stderr > 0.001."""
    assert SaturationRule(0.01).undecided(Estimate(value, stderr, 100)) is undecided


@pytest.mark.parametrize(("most", "saturated", "said"), [(4, False, 1), (7, False, 1), (2**12, True, 0)])
def test_a_model_known_too_poorly_is_not_saturated_and_that_is_said_once(most, saturated, said, monkeypatch, tmp_path):
    """Below the threshold by far, but with 4 sentences the error is more than a tenth of it."""
    changes = {"lr": 1e-9, "steps": 9, "evaluation_sentences": 4, "most_evaluation_sentences": most, "threshold": 2e-3}
    config = short(checkpoints=[], masking="one", **changes)
    language = hmm()
    near = Tempered(language, 0.6)

    def as_near(model, evaluation, stops):
        return divergences(near, evaluation, stops)

    monkeypatch.setattr(saturation, "divergences", as_near)
    kl = HeldOut(language, config).measure(near).kl
    assert kl.upper95 < config.threshold
    assert (kl.stderr <= config.threshold / 10) == saturated
    assert SaturationRule(config.threshold).holds(kl) == saturated
    made = trainer("bert-1x16", config, tmp_path, language)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        rows = list(made.rows())
    assert [row.saturated for row in rows] == [saturated] * 3
    assert len(caught) == said
    for warning in caught:
        measured = f"KL {kl.value:.4g} +- {kl.stderr:.2g}"
        text = f"{measured} cannot be distinguished from the threshold, 0.002, with {kl.n} held-out sentences"
        assert str(warning.message).startswith(text)
        assert str(warning.message).endswith("; train again with more most_evaluation_sentences or a larger threshold")


def test_held_out_sentences_do_not_become_fewer():
    with pytest.raises(
        InputError, match="most_evaluation_sentences is 9, expected at least evaluation_sentences, 10; give"
    ):
        TrainConfig(evaluation_sentences=10, most_evaluation_sentences=9)


def test_a_stop_does_not_wait_for_further_sentences(monkeypatch):
    """Their truth is worked out chunk by chunk, and no part of it is kept."""
    monkeypatch.setattr(streams, "TRUTH_CHUNK", 2)
    language = hmm()
    near, asked = Tempered(language, 0.9), []
    held_out = HeldOut(language, replace(CONFIG, threshold=1e-6))
    monkeypatch.setattr(saturation, "divergences", lambda model, part, stops: divergences(model, part))
    held_out.rule = Never(1.0)
    whole = HeldOut(language, CONFIG)
    whole.rule = Never(1.0)
    expected = whole.measure(near)
    for most in range(1, 100):
        asked.clear()
        try:
            found = held_out.measure(near, lambda most=most: asked.append(1) or len(asked) == most)
            break
        except StoppedError:
            assert len(held_out.parts) < 4
    # Of 4, 8 and 16 sentences, two at a time, a set that is whole is not made again: the last one takes 8 looks.
    assert (most, len(asked)) == (9, 8)
    assert found == expected


# ---- in training


def test_the_size_of_the_held_out_set_survives_an_interruption(tmp_path):
    """Also where the session that goes on never saw the rows at which it had grown."""
    config = short(steps=90, lr=1e-2, batch_size=32, threshold=0.11, evaluate_every=10, most_evaluation_sentences=100)
    config = replace(config, resume_every=35)
    whole = comparable(session(tmp_path / "whole", "bert-1x16", config))
    assert len({row["n"] for row in whole}) > 1
    assert whole[0]["n"] == 24
    rows = []
    for take in (3, 4, 2, None):
        rows = session(tmp_path / "parts", "bert-1x16", config, rows, take=take)
    assert comparable(rows) == whole


def expected_stretches(rows):
    """[(saturated_step, since_saturation)], row by row."""
    found, begin = [], None
    for row in rows:
        begin = (row["step"] if begin is None else begin) if row["saturated"] else None
        found.append((begin, None if begin is None else row["step"] - begin))
    return found


def stretch_config(tmp_path):
    """A threshold that is passed more than once: training at a rate at which KL goes up and down."""
    changes = {"evaluation_sentences": 600, "most_evaluation_sentences": 600}
    config = short(steps=60, lr=3e-2, batch_size=4, weight_decay=0.0, evaluate_every=2, **changes)
    rows = session(tmp_path / "look", "bert-1x16", config)
    uppers = [row["kl_upper95"] for row in rows]
    crossings = {u: sum((a < u) != (b < u) for a, b in pairwise(uppers)) for u in uppers[1:]}
    return replace(config, threshold=max(crossings, key=crossings.__getitem__))


def test_rows_say_since_when_the_model_has_been_saturated_also_after_an_interruption(tmp_path):
    config = stretch_config(tmp_path)
    whole = comparable(session(tmp_path / "whole", "bert-1x16", config))
    stretches = [(row["saturated_step"], row["since_saturation"]) for row in whole]
    assert stretches == expected_stretches(whole)
    begins = {begin for begin, _ in stretches}
    assert None in begins
    assert len(begins) >= 3
    assert max(since or 0 for _, since in stretches) > 0
    rng, rows = np.random.default_rng(2), []
    while not rows or rows[-1]["step"] < 60:
        rows = session(tmp_path / "parts", "bert-1x16", config, rows, take=int(rng.integers(3, 8)))
    assert comparable(rows) == whole


# ---- when it is measured


@pytest.mark.parametrize(
    ("every", "growth", "steps", "expected"),
    [
        (3, 1.0, 16, [3, 6, 9, 12, 15]),
        (10, 2.0, 200, [10, 20, 40, 80, 160]),
        (10, 1.5, 100, [10, 20, 30, 45, 68]),
        (250, 1.05, 249, []),
        (1, 1.0, 4, [1, 2, 3, 4]),
    ],
)
def test_evaluation_steps(every, growth, steps, expected):
    assert TrainConfig(evaluate_every=every, evaluate_growth=growth, steps=steps).evaluation_steps == expected


def test_evaluation_steps_are_even_at_first_and_geometric_later():
    steps = TrainConfig(steps=10**6, evaluate_every=250, evaluate_growth=1.05).evaluation_steps
    assert steps[:20] == [250 * k for k in range(1, 21)]
    assert all(b - a >= 250 for a, b in pairwise(steps))
    late = [step for step in steps if step >= 6000]
    assert all(1.05 <= b / a < 1.05 + 1 / a for a, b in pairwise(late))
    assert steps[-1] > 10**6 / 1.06
    assert len(steps) == 20 + math.ceil(math.log(10**6 / 5000) / math.log(1.05)) - 1
