"""Heads on the exact truth: against heads fitted by hand, and the recorded table against that of another program.

The reference numbers were computed beforehand by another program (its own generator of the same recipe, 10 to 40 seeds,
scikit-learn's regression). Ours have their own seeds, so that means agree within three standard errors of both.
"""

import csv
import math

import numpy as np
import pytest
import torch
from support import ROOT

from satlab.errors import InputError
from satlab.generators import HMM, find_task, load_language
from satlab.generators.hmm.readout import Readout
from satlab.generators.hmm.tasks import state_before
from satlab.lab.measurements.tuning import chains_of, condition_rows, oracle_rows
from satlab.probes.samples import Samples
from satlab.theory.tuning_oracle import Oracle

RECORDED = ROOT / "docs" / "results" / "wei2021-oracle.csv"

STATES = {
    "majority": {4: 0.670, 8: 0.721, 10: 0.682, 12: 0.668, 15: 0.675, 25: 0.639, 30: 0.683},
    "head on words, C = 1": {4: 0.926, 8: 0.949, 10: 0.909, 12: 0.857, 15: 0.884, 25: 0.822, 30: 0.769},
    "head on words, C = 1e6": {4: 0.950, 8: 0.961, 10: 0.940, 12: 0.896, 15: 0.941, 25: 0.838, 30: 0.806},
    "head on state": {4: 1.000, 8: 0.998, 10: 0.999, 12: 0.992, 15: 0.991, 25: 0.986, 30: 0.969},
    "ideal prompt": {4: 0.974, 8: 0.987, 10: 0.990, 12: 0.962, 15: 0.976, 25: 0.957, 30: 0.961},
}
SHARES = {
    "prompt-mask-text": {4: 0.95, 8: 0.78, 10: 0.72, 12: 0.70, 15: 0.65, 25: 0.60, 30: 0.70},
    "mask-prompt-text": {4: 0.93, 8: 0.85, 10: 0.80, 12: 0.82, 15: 0.80, 25: 0.78, 30: 0.80},
}
MEDIANS = {"log10 |b| of the head": {4: 0.5, 8: 4.2, 10: 8.7}}
SINGULAR = {4: (0.48, 2.3), 8: (4e-6, 3.3), 10: (9e-12, 4.2)}
"""States -> (median of the least singular value of W, standard deviation of its log10 over 300 chains)."""

SLOTS = {
    "head on words, C = 1": {8: 0.957, 12: 0.950, 20: 0.939, 28: 0.973},
    "head on pooled words": {8: 1.000, 12: 1.000, 20: 1.000, 28: 0.997},
}
FEWEST = 10
"""Chains behind a reference number, at least."""


def agree(ours, stderr, n, theirs, floor=0.0):
    """Within three standard errors of the difference; both programs' chains spread alike."""
    spread = max(stderr * math.sqrt(1 + n / FEWEST), floor)
    assert abs(ours - theirs) <= 3 * spread + 1e-9, (ours, stderr, n, theirs)


def recorded():
    with RECORDED.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def rows_of(family, quantity):
    return {int(row["states"]): row for row in recorded() if (row["family"], row["quantity"]) == (family, quantity)}


@pytest.mark.parametrize("quantity", STATES)
def test_recorded_accuracies_are_those_of_the_reference(quantity):
    found = rows_of("wei2021-hmm", quantity)
    assert set(found) == set(STATES[quantity])
    for states, row in found.items():
        agree(float(row["value"]), float(row["stderr"]), int(row["n"]), STATES[quantity][states], 0.004)


@pytest.mark.parametrize("quantity", SHARES)
def test_recorded_shares_of_feasible_prompts_are_those_of_the_reference(quantity):
    for states, row in rows_of("wei2021-hmm", quantity).items():
        theirs, n = SHARES[quantity][states], int(row["n"])
        deviation = math.sqrt(theirs * (1 - theirs))
        agree(float(row["share_above_0.05"]), deviation / math.sqrt(n), n, theirs)


def test_recorded_precisions_are_those_of_the_reference():
    """Medians, to a digit and a half."""
    for quantity, theirs in MEDIANS.items():
        for states, row in rows_of("wei2021-hmm", quantity).items():
            assert states not in theirs or abs(float(row["median"]) - theirs[states]) < 1.5


def test_recorded_singular_values_are_those_of_the_reference():
    """Medians spread 1.25 times as much as means."""
    for states, (theirs, deviation) in SINGULAR.items():
        row = rows_of("wei2021-hmm", "least singular value of W")[states]
        n = int(row["n"])
        agree(math.log10(float(row["median"])), 1.25 * deviation / math.sqrt(n), n, math.log10(theirs))


@pytest.mark.parametrize("quantity", SLOTS)
def test_recorded_memories_are_those_of_the_reference(quantity):
    found = rows_of("wei2021-memory-hmm", quantity)
    assert set(found) == set(SLOTS[quantity])
    for states, row in found.items():
        agree(float(row["value"]), float(row["stderr"]), int(row["n"]), SLOTS[quantity][states], 0.004)


def test_the_slot_is_known_as_often_as_in_the_reference():
    """In 97 to 100 % of the texts there."""
    for row in rows_of("wei2021-memory-hmm", "block known").values():
        ours = float(row["value"])
        agree(ours, float(row["stderr"]), int(row["n"]), min(max(ours, 0.97), 1.0), 0.004)


@pytest.mark.slow
@pytest.mark.parametrize("states", [4, 8, 10, 12, 15, 25, 30])
def test_the_command_gives_these_numbers_again(tmp_path, states):
    """Ten chains of other seeds than the recorded ones."""
    file = tmp_path / "chain.yaml"
    file.write_text(f"{{preset: wei2021-hmm, states: {states}, length: 128, seed: 100}}")
    rows = [row for row in oracle_rows(str(file), "posterior", 10, None, Oracle()) if "chains" in row]
    for row in rows:
        if row["quantity"] in STATES:
            agree(row["value"], row["stderr"], row["n"], STATES[row["quantity"]][states], 0.01)


def test_heads_are_those_of_plain_regressions():
    """Words and states by hand, scikit-learn's regression with the same C."""
    linear_model = pytest.importorskip("sklearn.linear_model")
    language = load_language({"family": "wei2021-hmm", "states": 4, "words": 5, "length": 10, "seed": 2})
    task = find_task(language, "posterior")
    found = dict(Oracle(400, 300, 5).accuracies(language, task))
    ((train, test),) = Samples(400, 300, 1, 5).draw(language, task)
    y, expected = task.labels(train).numpy(), task.labels(test).numpy()
    states = [state_before(language, some.tokens, 10) for some in (train, test)]
    words = [np.stack([sum(p[h] * language.emission[h] for h in range(4)).numpy() for p in some]) for some in states]
    fitted = linear_model.LogisticRegression(C=1.0, tol=1e-10, max_iter=10_000).fit(words[0], y)
    assert found["head on words, C = 1"].value == pytest.approx(float((fitted.predict(words[1]) == expected).mean()))
    assert found["majority"].value == pytest.approx(float((expected == np.bincount(y).argmax()).mean()))
    weights = language.readout.weights[1] - language.readout.weights[0]
    assert bool((((states[1] @ weights) > 0).numpy() == expected).all())
    assert found["head on state"].value > 0.9


def test_one_chain_and_several(tmp_path):
    file = tmp_path / "chain.yaml"
    file.write_text("{preset: wei2021-hmm, states: 4, length: 8, seed: 7}")
    chains = list(chains_of(str(file), 3, None))
    assert [seed for seed, _ in chains] == [7, 8, 9]
    expected = load_language({"preset": "wei2021-hmm", "states": 4, "length": 8, "seed": 9})
    assert chains[2][1].fingerprint() == expected.fingerprint()
    ((seed, alone),) = chains_of(str(file), 1, None)
    assert seed is None
    assert alone.fingerprint() == chains[0][1].fingerprint()
    rows = list(oracle_rows(str(file), "posterior", 2, None, Oracle(60, 40)))
    means = {row["quantity"]: row for row in rows if "chains" in row}
    of_chains = [row["value"] for row in rows if row.get("chain") is not None and row["quantity"] == "ideal prompt"]
    assert means["ideal prompt"]["value"] == pytest.approx(sum(of_chains) / 2)
    assert means["ideal prompt"]["n"] == 2
    assert set(means["prompt-mask-text"]) >= {"share_above_0.05", "median"}


def test_conditions_end_in_a_prediction():
    language = load_language({"family": "wei2021-hmm", "states": 4, "length": 8, "seed": 3})
    *rows, last = condition_rows(language, find_task(language, "posterior"))
    assert [row["condition"] for row in rows] == [
        *("regularity", "stationarity", "emission-rank", "head", "prompt-mask-text", "mask-prompt-text", "memory-cell")
    ]
    assert all(row["holds"] == (row["margin"] >= 0) for row in rows)
    assert all(row["margin"] == pytest.approx(row["value"] - row["least"]) for row in rows)
    assert set(last["predicts"]) == {"head", "prompt-mask-text", "mask-prompt-text"}


def test_a_prompt_between_mask_and_text_is_judged_by_itself():
    """States one after the other are independent here: the word at the mask tells nothing of the state next to it."""
    table = torch.tensor([[0.0, 1.0], [1.0, 0.0]], dtype=torch.float64)
    coin = HMM([0.5, 0.5], [[0.5, 0.5], [0.5, 0.5]], [[0.9, 0.1], [0.1, 0.9]], 6, readout=Readout(table, 6))
    *_, last = condition_rows(coin, find_task(coin, "posterior"))
    assert last["predicts"] == {"head": "exact", "prompt-mask-text": "exact", "mask-prompt-text": "inexact"}
    assert last["provided"] is None
    skew = HMM([0.4, 0.6], [[0.4, 0.6], [0.4, 0.6]], [[0.9, 0.1], [0.1, 0.9]], 6, readout=Readout(table, 6))
    *_, last = condition_rows(skew, find_task(skew, "posterior"))
    assert "uniform pi" in last["provided"]


def test_three_classes_are_refused_before_a_row(tmp_path):
    table = torch.eye(3, dtype=torch.float64)
    three = HMM([0.5, 0.3, 0.2], np.eye(3) / 2 + 1 / 6, np.eye(3) / 2 + 1 / 6, 6, readout=Readout(table, 6))
    rows = oracle_rows(three.save(str(tmp_path / "three")), "posterior", 1, None, Oracle(60, 40))
    with pytest.raises(InputError, match="has 3 classes, expected 2"):
        next(rows)


@pytest.mark.parametrize(
    ("source", "chains", "match"),
    [
        ("demo-hmm", 0, "chains is 0, expected at least 1"),
        ("nothing.npz", 2, "chains is 2 with language 'nothing.npz', expected a preset or YAML file"),
    ],
)
def test_chains_that_cannot_be(source, chains, match):
    with pytest.raises(InputError, match=match):
        list(chains_of(source, chains, None))


def test_numbers_of_texts_that_cannot_be():
    with pytest.raises(InputError, match="train_sentences is 1, expected at least 2"):
        Oracle(train_sentences=1)
