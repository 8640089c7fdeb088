"""The theorem on next-word prediction, on trained and untrained models of exact languages."""

from itertools import pairwise

import pytest
import torch
from support.networks import demo_hmm, gap, shaken, tiny_hmm
from support.untouched import untouched

from satlab.errors import InputError
from satlab.generators.batches import exact_truth
from satlab.models.ops.linear_head import head_of
from satlab.theory import Subject
from satlab.theory.next_word.contexts import contexts_of, features_of, finite_of, task_contexts
from satlab.theory.saunshi import Saunshi
from satlab.theory.saunshi_natural import SaunshiNatural


@pytest.mark.parametrize("task", ["next-word", "state:ahead=0", "state:ahead=2"])
@pytest.mark.parametrize("loss", ["logistic", "hinge"])
def test_all_links_hold_where_all_prefixes_are_listed(task, loss):
    language = tiny_hmm()
    model = shaken("gpt-1x4", language, dtype=torch.float32)
    with untouched(model):
        links = list(Saunshi(task=task, loss=loss).check(Subject(model, language, "next")))
    assert [link.name for link in links if not link.holds] == []
    assert all(link.left.stderr == 0 for link in links)
    assert len({link.name for link in links}) == len(links) >= 31


@pytest.mark.parametrize("words", [None, 3])
def test_all_links_hold_on_sampled_sentences(words):
    language = demo_hmm()
    model = shaken("gpt-1x4", language, deviation=0.2)
    links = list(Saunshi("state", words=words, sentences=100).check(Subject(model, language, "next")))
    assert [link.name for link in links if not link.holds] == []
    assert sum(link.left.stderr > 0 for link in links) > 20
    named = {link.name: link for link in links}
    bound = named["unconstrained: refined bound <= bound"]
    assert bound.left.value < bound.right.value
    assert named["unconstrained: least loss of p <= tau + bound"].left.n == 100


def test_the_head_and_the_features_give_the_models_logits():
    language = demo_hmm()
    model = shaken("gpt-1x4", language)
    contexts = contexts_of(language, 20, 0)
    phi, bias = head_of(model)
    logits = model.logits_at(contexts.batch.inputs, contexts.batch.rows, contexts.batch.positions)
    assert gap(features_of(model, contexts.batch) @ phi + bias, logits) < 1e-12
    assert gap(contexts.truth, exact_truth(language, contexts.batch, "next")) == 0


def test_listed_prefixes_have_the_weights_of_training():
    """The mean over all prefixes is that over the predictions of sampled sentences."""
    language = tiny_hmm()
    listed, sampled = contexts_of(language, 0, 0), contexts_of(language, 4000, 0, most=0)
    assert listed.listed
    assert not sampled.listed
    value = lambda contexts: contexts.truth[:, 0]
    exact = float(listed.weights @ value(listed))
    found = sampled.batch.mean(value(sampled))
    assert abs(found.value - exact) < 4 * found.stderr


def test_gamma_of_prefixes_of_one_length_is_their_share():
    language = demo_hmm()
    contexts = contexts_of(language, 30, 0)
    from satlab.generators.prefixes.task import find_prefix_task

    weights, law = task_contexts(contexts, find_prefix_task(language, "state"), 3, None)
    finite = finite_of(shaken("gpt-1x4", language), contexts, weights, law)
    assert finite.gamma.value == pytest.approx(1 / 9, rel=1e-12)
    assert finite.gamma_of(finite.p - finite.truth).value > 1 / 9


def test_several_classes_are_checked_where_there_are_several():
    language = demo_hmm()
    model = shaken("gpt-1x4", language)
    names = [link.name for link in Saunshi("state", sentences=40).check(Subject(model, language, "next"))]
    assert "classes: |excess| <= worst pair" in names
    names = [link.name for link in Saunshi(sentences=40).check(Subject(model, language, "next"))]
    assert "classes: |excess| <= worst pair" not in names


@pytest.mark.parametrize("loss", ["logistic", "hinge"])
def test_tau_falls_with_the_bound_to_what_no_classifier_beats(loss):
    language = tiny_hmm()
    subject = Subject(shaken("gpt-1x2:heads=1", language), language, "next")
    theorem = SaunshiNatural(task="state:ahead=0", loss=loss, bounds="0.5 2 32 2000")
    links = list(theorem.check(subject))
    assert [link.name for link in links if not link.holds] == []
    assert [link.name for link in links[:2]] == ["B = 0.5: least loss <= tau", "B = 0.5: tau <= tau_Phi"]
    taus, inside = [link.right.value for link in links[::2]], [link.right.value for link in links[1::2]]
    for values in (taus, inside):
        assert all(one > other - 1e-6 for one, other in pairwise(values))
    least = links[0].left.value
    # p* says less than the prefix itself, so that the least loss is not reached.
    assert 0 < taus[-1] - least < 0.6 * (taus[0] - least)
    assert max(other - one for one, other in zip(taus, inside, strict=True)) > 1e-3


@pytest.mark.parametrize("bounds", ["", "1 two", "0", "inf"])
def test_bounds_that_are_none(bounds):
    with pytest.raises(InputError, match="expected positive numbers separated by spaces"):
        SaunshiNatural(bounds=bounds)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"bound": 0.0}, "bound is 0.0, expected a positive number"),
        ({"loss": "square"}, "expected one that is 1-Lipschitz"),
        ({"loss": "hing"}, "did you mean 'hinge'"),
        ({"sentences": 1}, "sentences is 1, expected at least 2"),
        ({"words": -1}, "words is -1, expected at least 0"),
    ],
)
def test_wrong_settings(settings, message):
    with pytest.raises(InputError, match=message):
        Saunshi(**settings)


def test_wrong_subjects():
    language = demo_hmm()
    with pytest.raises(InputError, match="predicts hidden words, expected one that predicts the next word"):
        list(Saunshi().check(Subject(shaken("bert-1x4", language), language)))
    causal = Subject(shaken("gpt-1x4", language), language, "next")
    with pytest.raises(InputError, match="unknown prefix task 'stat'"):
        list(Saunshi("stat").check(causal))
    with pytest.raises(InputError, match="has no label on any prefix of 8 words"):
        list(Saunshi("state", words=8, sentences=5).check(causal))
