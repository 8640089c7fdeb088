"""Contexts read part by part are those read at once, and say the same."""

import shutil
import tempfile
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.finite_languages import random_finite
from support.networks import demo_hmm, shaken, tiny_hmm

from satlab.errors import InputError, TooLargeError
from satlab.generators.prefixes.task import find_prefix_task
from satlab.models.ops.linear_head import head_of
from satlab.probes import feature_store
from satlab.probes.feature_store import FeatureStorage
from satlab.probes.next_word import Representations, class_words
from satlab.system import memory
from satlab.theory import Subject
from satlab.theory.next_word import contexts as contexts_module
from satlab.theory.next_word import rows, task_theorem
from satlab.theory.next_word.contexts import contexts_of, finite_of, task_contexts
from satlab.theory.next_word.natural import natural
from satlab.theory.next_word.rank import least_kl, ranks
from satlab.theory.next_word.streamed import Streamed
from satlab.theory.saunshi import Saunshi
from satlab.theory.saunshi_features import SaunshiFeatures
from satlab.theory.saunshi_log_partition import SaunshiLogPartition
from satlab.theory.saunshi_natural import SaunshiNatural
from satlab.theory.saunshi_quad import SaunshiQuad
from satlab.theory.theorem import Theorem


@pytest.fixture(scope="module")
def setting():
    language = demo_hmm()
    return language, shaken("gpt-1x4", language, dtype=torch.float64), find_prefix_task(language, "state:ahead=2")


@pytest.mark.parametrize(("words", "sentences_at_once"), [(None, 3), (3, 3), (None, 100)])
def test_parts_are_the_whole(setting, words, sentences_at_once, monkeypatch):
    language, model, task = setting
    size = (language.max_length + 1) * (language.vocab_size + 1)
    monkeypatch.setattr(contexts_module, "TRUTH_AT_ONCE", sentences_at_once * size)
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
    monkeypatch.setattr(contexts_module, "TRUTH_AT_ONCE", 10 * (language.max_length + 1) * (language.vocab_size + 1))
    in_parts = list(theorem.check(subject))
    for one, other in zip(at_once, in_parts, strict=True):
        assert one.name == other.name
        assert (one.right.value, one.right.stderr) == pytest.approx((other.right.value, other.right.stderr), abs=2e-5)


def test_a_task_without_a_label_is_refused(setting):
    language, model, task = setting
    with pytest.raises(InputError, match="has no label on any prefix of 8 words"):
        Streamed(language, model, task, 8, 5, 0, 1)


def clear():
    """What is kept from one check to the next was made with another memory."""
    task_theorem.contexts_once.cache_clear()


@pytest.fixture
def little(monkeypatch):
    """A machine on which no table fits into memory, and whose files are read a few contexts at a time."""

    def make():
        monkeypatch.setattr(memory, "machine_memory", lambda: 2**10)
        monkeypatch.setattr(rows, "machine_memory", lambda: 2**10)
        monkeypatch.setattr(rows, "PASS_BYTES", 40 * 8 * 11)
        monkeypatch.setattr(feature_store, "PASS_BYTES", 40 * 8 * 11)
        monkeypatch.setattr(contexts_module, "TRUTH_AT_ONCE", 40 * 11)
        clear()

    yield make
    clear()


@pytest.mark.parametrize(
    ("theorem", "language"),
    [
        (Saunshi("state:ahead=2", sentences=20), demo_hmm()),
        (Saunshi("next-word", words=2), tiny_hmm()),
        (SaunshiNatural("state", sentences=20, bounds="1 8"), demo_hmm()),
        (SaunshiQuad(20), demo_hmm()),
        (SaunshiQuad(), tiny_hmm()),
        (SaunshiLogPartition(20, 3), demo_hmm()),
    ],
    ids=lambda given: str(given) if isinstance(given, Theorem) else "",
)
def test_tables_in_files_say_the_same(theorem, language, little):
    subject = Subject(shaken("gpt-1x4", language, deviation=0.2, dtype=torch.float64), language, "next")
    held = list(theorem.check(subject))
    little()
    if not isinstance(theorem, SaunshiLogPartition):
        assert isinstance(contexts_of(language, 30, 0).truth, rows.Stored)
    stored = list(theorem.check(subject))
    assert len(held) > 2
    for one, other in zip(held, stored, strict=True):
        assert other.holds
        assert one.name == other.name
        if one.name.startswith("classes"):
            continue  # Its minimiser is not unique.
        for left, right in ((one.left, other.left), (one.right, other.right)):
            assert (right.value, right.stderr) == pytest.approx((left.value, left.stderr), rel=1e-11, abs=1e-12)
            assert right.n == left.n


def test_a_minimiser_that_is_not_unique_has_the_same_minimum_in_files(little):
    """Of a linear program rounding may choose another minimiser."""
    theorem = Saunshi("state", loss="hinge", sentences=20)
    language = demo_hmm()
    subject = Subject(shaken("gpt-1x4", language, deviation=0.2, dtype=torch.float64), language, "next")
    held = list(theorem.check(subject))
    little()
    for one, other in zip(held, theorem.check(subject), strict=True):
        assert other.holds
        if "mistakes" not in one.name and ("least" in one.name or "tau" in one.name):
            assert other.left.value == pytest.approx(one.left.value, abs=2e-6)


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10**6), per_pass=st.integers(1, 5))
def test_every_number_of_any_finite_language_in_files(seed, per_pass):
    finite = random_finite(seed)
    words = finite.truth.shape[1]
    errors = finite.p - finite.truth

    def stored(table):
        made = rows.Stored(len(table), table.device)
        made.append(table)
        return made

    with pytest.MonkeyPatch.context() as patch:
        for module in (rows, feature_store):
            patch.setattr(module, "PASS_BYTES", 8 * words * per_pass)
        there = replace(finite, truth=stored(finite.truth), log_p=stored(finite.log_p))
        assert there.epsilon.value == pytest.approx(finite.epsilon.value, rel=1e-12, abs=1e-15)
        one, other = (here.gamma_of(e) for here, e in ((finite, errors), (there, stored(errors))))
        assert other.value == pytest.approx(one.value, rel=1e-9)
        for loss in ("logistic", "hinge", "square"):
            asked = finite.eta, finite.task_weights, 2.0
            assert natural(loss, there.truth, *asked).loss == pytest.approx(
                natural(loss, finite.truth, *asked).loss, abs=2e-7
            )
        found = ranks(there.truth)
        least = [least_kl(here, finite.weights, 1, starts=0, iterations=4) for here in (finite.truth, there.truth)]
    assert found == ranks(finite.truth)
    assert least[1].value == pytest.approx(least[0].value, rel=1e-6, abs=1e-9)


def test_files_for_which_there_is_no_room_are_refused(setting, little, monkeypatch):
    little()
    usage = shutil.disk_usage("/")._replace(free=100)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    message = r"a table of [0-9]+ contexts x [0-9]+ words: needs .* of memory or .* of disk, .*; give fewer sentences"
    with pytest.raises(TooLargeError, match=message):
        contexts_of(setting[0], 20, 0, most=0)


def test_a_theorem_leaves_no_file(setting, little, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    little()
    list(SaunshiQuad(20).check(Subject(setting[1], setting[0], "next")))
    assert list(tmp_path.iterdir()) == []
