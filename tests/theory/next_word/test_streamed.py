"""Contexts read part by part are those read at once, and say the same."""

import pytest
import torch
from support.networks import demo_hmm, shaken

from satlab.errors import InputError, TooLargeError
from satlab.generators.prefixes.task import find_prefix_task
from satlab.probes.feature_store import FeatureStorage
from satlab.probes.next_word import Representations, class_words
from satlab.system import memory
from satlab.theory import Subject
from satlab.theory.next_word import streamed
from satlab.theory.next_word.contexts import contexts_of, finite_of, head_of, task_contexts
from satlab.theory.next_word.streamed import Streamed
from satlab.theory.saunshi_features import SaunshiFeatures


@pytest.fixture(scope="module")
def setting():
    language = demo_hmm()
    return language, shaken("gpt-1x4", language, dtype=torch.float64), find_prefix_task(language, "state:ahead=2")


@pytest.mark.parametrize(("words", "sentences_at_once"), [(None, 3), (3, 3), (None, 100)])
def test_parts_are_the_whole(setting, words, sentences_at_once, monkeypatch):
    language, model, task = setting
    size = (language.max_length + 1) * (language.vocab_size + 1)
    monkeypatch.setattr(streamed, "AT_ONCE", sentences_at_once * size)
    found = Streamed(language, model, task, words, 20, 0, 1)
    assert len(found.parts) == (1 if sentences_at_once > 20 else 7)
    contexts = contexts_of(language, 20, 0, 1, most=0)
    weights, law = task_contexts(contexts, task, words, "")
    whole, kept = finite_of(model, contexts, weights, law), weights > 0
    parts = [truth for _, truth in found.truths()]
    torch.testing.assert_close(torch.cat(parts), whole.truth[kept], rtol=0, atol=1e-13)
    torch.testing.assert_close(found.features, whole.features[kept], rtol=0, atol=1e-12)
    torch.testing.assert_close(found.law, law[kept], rtol=0, atol=1e-12)
    values = torch.rand(len(weights), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    one, other = found.mean(values[kept]).estimate, whole.over_task(values).estimate
    assert one.value == pytest.approx(other.value, rel=1e-12)
    chosen = found.class_words(1)
    joint = weights[kept][:, None] * law[kept]
    means = joint.T @ whole.truth[kept] / joint.sum(0)[:, None]
    assert chosen.tolist() == class_words(means, joint.sum(0) / joint.sum()).tolist()
    phi, bias = head_of(model)
    expected = Representations(phi, bias, chosen).of(whole.features[kept], whole.truth[kept])
    for storage in (FeatureStorage(), FeatureStorage(in_memory=8)):
        stores = found.stores(Representations(phi, bias, chosen), storage)
        assert list(stores) == list(expected)
        for name, store in stores.items():
            rows = torch.cat([part.clone() for _, part in store.in_order()])
            torch.testing.assert_close(rows, expected[name].double(), rtol=0, atol=1e-11)


def test_the_theorem_says_the_same_in_parts(setting, monkeypatch):
    language, model, _ = setting
    theorem, subject = SaunshiFeatures(task="next-word", sentences=30), Subject(model, language, "next")
    at_once = list(theorem.check(subject))
    monkeypatch.setattr(streamed, "AT_ONCE", 10 * (language.max_length + 1) * (language.vocab_size + 1))
    in_parts = list(theorem.check(subject))
    for one, other in zip(at_once, in_parts, strict=True):
        assert one.name == other.name
        assert (one.right.value, one.right.stderr) == pytest.approx((other.right.value, other.right.stderr), abs=2e-5)


def test_a_task_without_a_label_is_refused(setting):
    language, model, task = setting
    with pytest.raises(InputError, match="has no label on any prefix of 8 words"):
        Streamed(language, model, task, 8, 5, 0, 1)


def test_contexts_that_do_not_fit_are_refused(setting, monkeypatch):
    monkeypatch.setattr(memory, "machine_memory", lambda: 2**10)
    with pytest.raises(TooLargeError, match=r"a table of [0-9]+ contexts x [0-9]+ words: .*; give fewer sentences"):
        contexts_of(setting[0], 20, 0, most=0)
