"""The training loop: its optimiser, its rows, when it stops, and what it does where training diverges."""

import json
import math
from itertools import count, pairwise

import pytest
import torch
from support.networks import NETWORKS, demo_hmm, same_weights
from support.training import comparable, folders, parts, session, short, tensors_of, trainer

from satlab.errors import DivergedError, StoppedError
from satlab.models import build_model, load_model
from satlab.train import TrainConfig, checkpoints, masked_loss
from satlab.train.step import Stepper

FIELDS = {"step", "loss", "kl", "kl_stderr", "kl_upper95", "floor", "floor_stderr", "n", "lr", "saturated"}
FIELDS |= {"train_kl", "train_kl_stderr"}
FIELDS |= {"saturated_step", "since_saturation", "adversary_strength", "tokens_per_second", "seconds"}


def adamw(model, stream, config, steps):
    """Decoupled weight decay (Loshchilov and Hutter 2019) on matrices, written out."""
    state = {p: (torch.zeros_like(p), torch.zeros_like(p)) for p in model.parameters()}
    one, two = config.betas
    for step in range(1, steps + 1):
        lr = config.learning_rate(step)
        gradients = torch.autograd.grad(masked_loss(model, stream.batch(step)), list(state))
        with torch.no_grad():
            for (p, (m, v)), g in zip(state.items(), gradients, strict=True):
                m.mul_(one).add_((1 - one) * g)
                v.mul_(two).add_((1 - two) * g * g)
                if p.dim() > 1:
                    p -= lr * config.weight_decay * p
                p -= lr * (m / (1 - one**step)) / ((v / (1 - two**step)).sqrt() + config.eps)


@pytest.mark.parametrize("schedule", ["constant", "linear", "cosine"])
@pytest.mark.parametrize("name", ["bert-1x16", "bert-post-1x16", "lstm-1x16"])
def test_steps_are_adamw_with_decay_on_matrices_alone(name, schedule, tmp_path):
    config = short(steps=6, weight_decay=0.3, schedule=schedule, warmup=0.4, checkpoints=[], lr=0.01)
    made = trainer(name, config, tmp_path)
    made.model.double()
    for _ in made.rows():
        pass
    expected = parts(name, config)[0].double()
    adamw(expected, made.stream, config, 6)
    for one, other in zip(made.model.parameters(), expected.parameters(), strict=True):
        assert (one - other).abs().max() < 1e-10


@pytest.mark.parametrize("name", ["bert-1x16", "lstm-1x16"])
def test_loss_and_kl_fall(name, tmp_path):
    config = short(steps=240, batch_size=64, lr=1e-2, checkpoints=[], evaluate_every=40, resume_every=1000)
    rows = session(tmp_path, name, config)
    model, _, held_out = parts(name, config)
    untrained = held_out.measure(model).kl.value
    assert untrained > 0.3
    assert rows[-1]["kl"] < rows[0]["kl"] < untrained
    assert 0 < rows[-1]["kl"] < 0.2 * untrained
    assert rows[-1]["loss"] < rows[0]["loss"] - 0.1


@pytest.mark.parametrize("name", NETWORKS)
def test_rows_say_what_happened(name, tmp_path):
    config, losses = short(schedule="linear", threshold=0.5, evaluation_sentences=40), {}
    rows = session(tmp_path, name, config, on_step=losses.__setitem__)
    held_out = parts(name, config)[2]
    assert list(losses) == list(range(1, 25))
    assert [row["step"] for row in rows] == [s for s in range(1, 25) if s % 3 == 0 or s in (8, 16)]
    since = 0
    for row in rows:
        step = row["step"]
        assert row.keys() == FIELDS
        assert row["loss"] == pytest.approx(math.fsum(losses[s] for s in range(since + 1, step + 1)) / (step - since))
        assert row["lr"] == config.learning_rate(step)
        assert row["kl_upper95"] == pytest.approx(row["kl"] + 1.6448536 * row["kl_stderr"], rel=1e-7)
        assert row["saturated"] is (row["kl_upper95"] < 0.5)
        # The clock is looked at where a row is due, and at each checkpoint between two rows.
        looks = 1 + sum(s % config.resume_every == 0 for s in range(since + 1, step))
        assert row["tokens_per_second"] == 8 * 8 * (step - since) / looks
        assert row["seconds"] == looks
        assert row["adversary_strength"] == 0.0
        since = step
    for step, folder in checkpoints(tmp_path):
        row = next(row for row in rows if row["step"] == step)
        measured = held_out.measure(load_model(folder))
        assert (row["kl"], row["kl_stderr"], row["n"]) == (measured.kl.value, measured.kl.stderr, measured.kl.n)
        assert (row["floor"], row["floor_stderr"]) == (measured.floor.value, measured.floor.stderr)


@pytest.mark.parametrize("stopped_at", [None, *range(8, 35)])
def test_seconds_are_those_of_training_over_all_sessions(stopped_at, tmp_path):
    """A complete step takes a second, a measurement 100, recording a row 10,000.

    A stop comes between rows, before one, or during its measurement.
    """
    now, rows, config = [0.0], [], short()

    def trained(should_stop):
        made = trainer("bert-1x16", config, tmp_path, clock=lambda: now[0], should_stop=should_stop)
        measure, made.held_out.measure = made.held_out.measure, lambda *given: (advance(100), measure(*given))[1]
        take = Stepper.__call__
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Stepper, "__call__", lambda self, *how: (take(self, *how), advance(1))[0])
            for row in made.rows():
                advance(10_000)
                rows.append(row)

    def advance(seconds):
        now[0] += seconds

    if stopped_at is not None:
        asked = count(1)
        with pytest.raises(StoppedError):
            trained(lambda: next(asked) >= stopped_at)
    trained(lambda: False)
    steps = [0, *(row.step for row in rows)]
    assert steps[-1] == 24
    assert [row.seconds for row in rows] == [after - before for before, after in pairwise(steps)]


def test_the_first_loss_is_that_of_the_untrained_model(tmp_path):
    config, losses = short(), {}
    session(tmp_path, "bert-1x16", config, take=1, on_step=losses.__setitem__)
    model, stream, _ = parts("bert-1x16", config)
    assert losses[1] == masked_loss(model, stream.batch(1)).item()


def test_kept_checkpoints_say_which_they_are(tmp_path):
    rows = session(tmp_path, "bert-1x16", short())
    assert folders(tmp_path) == ["step-00000008", "step-00000016", "step-00000024"]
    for step, folder in checkpoints(tmp_path):
        state = json.loads((folder / "state.json").read_text())
        row = next(row for row in rows if row["step"] == step)
        assert state == {
            "step": step,
            "keep": True,
            "row_due": False,
            "finished": step == 24,
            "kl": row["kl"],
            "saturated": row["saturated"],
            "saturated_step": row["saturated_step"],
            "since": step,
            "loss_sum": 0.0,
            "seconds": 0.0,
        }


def test_training_stops_at_saturation(tmp_path):
    config = short(threshold=5.0, stop_at_saturation=True)
    rows = session(tmp_path, "bert-1x16", config)
    assert [(row["step"], row["saturated"]) for row in rows] == [(3, True)]
    assert folders(tmp_path) == ["step-00000003"]
    assert session(tmp_path, "bert-1x16", config, rows) == rows


def test_training_goes_on_after_saturation_where_that_is_wanted(tmp_path):
    rows = session(tmp_path, "bert-1x16", short(threshold=5.0))
    assert rows[-1]["step"] == 24
    assert all(row["saturated"] for row in rows)


def test_an_unreachable_threshold_means_the_step_limit(tmp_path):
    rows = session(tmp_path, "bert-1x16", short(threshold=1e-9, stop_at_saturation=True))
    assert rows[-1]["step"] == 24
    assert not any(row["saturated"] for row in rows)


def test_dropout_acts_in_training_and_not_in_measuring(tmp_path):
    plain, dropped = ({}, {})
    rows = session(tmp_path / "plain", "bert-1x16", short(), on_step=plain.__setitem__)
    other = session(tmp_path / "dropped", "bert-1x16", short(dropout=0.3), on_step=dropped.__setitem__)
    assert plain[1] != dropped[1]
    assert comparable(rows)[-1]["kl"] != comparable(other)[-1]["kl"]
    model = load_model(tmp_path / "dropped")
    assert parts("bert-1x16", short())[2].measure(model).kl.value == other[-1]["kl"]


@pytest.mark.parametrize("name", ["bert-2x16", "lstm-2x8"])
@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_the_global_random_state_is_not_read(name, dropout, tmp_path):
    config = short(steps=6, checkpoints=[], dropout=dropout)
    finals = []
    for seed in (1, 2):
        made = trainer(name, config, tmp_path / str(seed))
        torch.manual_seed(seed)
        for _ in made.rows():
            torch.rand(seed)
        finals.append(tensors_of(checkpoints(tmp_path / str(seed))[-1][1]))
    assert same_weights(*finals)


def test_the_global_random_state_is_not_changed(tmp_path):
    config = short(steps=6, checkpoints=[], dropout=0.3)
    running = trainer("lstm-2x8", config, tmp_path).rows()
    before = torch.random.get_rng_state()
    assert len(list(running)) > 1
    assert torch.equal(before, torch.random.get_rng_state())


# ---- divergence


def finite(folder):
    return all(tensor.isfinite().all() for tensor in tensors_of(folder).values())


@pytest.mark.parametrize("lr", [1e30, 1e6])
@pytest.mark.parametrize("name", NETWORKS)
def test_a_rate_that_breaks_training_leaves_finite_checkpoints(name, lr, tmp_path):
    """After 10 good steps the rate jumps, as if a long warm-up had ended there."""

    class Jump(TrainConfig):
        def learning_rate(self, step, saturated_at=None):
            return 1e-3 if step <= 10 else lr

    config = Jump(steps=40, batch_size=8, checkpoints=list(range(4, 40)), evaluate_every=1, evaluation_sentences=16)
    with pytest.raises(DivergedError, match=r"diverged at step 1[1-9]: .*; checkpoints before it stay"):
        session(tmp_path, name, config)
    found = checkpoints(tmp_path)
    assert [step for step, _ in found][:7] == [4, 5, 6, 7, 8, 9, 10]
    assert all(finite(folder) for _, folder in found)
    assert not [name for name in folders(tmp_path) if name.startswith(".")]
    model, held_out = load_model(tmp_path), parts(name, config)[2]
    assert math.isfinite(held_out.measure(model).kl.value)


@pytest.mark.parametrize("poison", [math.nan, math.inf])
@pytest.mark.parametrize("name", ["bert-1x16", "lstm-1x16"])
def test_poisoned_weights_are_noticed_at_the_next_step(name, poison, tmp_path):
    config = short()

    def spoil(step, loss):
        if step == 12:
            with torch.no_grad():
                made.model.words.embedding.weight[3] = poison

    seen, made = [], trainer(name, config, tmp_path, on_step=spoil)
    with pytest.raises(DivergedError, match=r"training diverged at step 12: .* lower lr or a longer warm-up"):
        seen.extend(row.step for row in made.rows())
    assert seen == [3, 6, 8, 9]
    assert folders(tmp_path) == ["step-00000008", "step-00000010"]
    assert all(finite(folder) for _, folder in checkpoints(tmp_path, kept_only=False))
    last = load_model(tmp_path)
    fresh = build_model(name, demo_hmm())
    assert not same_weights(last.state_dict(), fresh.state_dict())


def test_a_model_that_is_no_number_from_the_start_diverges_at_step_1(tmp_path):
    config = short()
    made = trainer("bert-1x16", config, tmp_path)
    with torch.no_grad():
        made.model.words.bias.fill_(math.nan)
    with pytest.raises(DivergedError, match="training diverged at step 1: the loss is nan"):
        next(made.rows())
    assert checkpoints(tmp_path, kept_only=False) == []


@pytest.mark.slow
def test_a_small_encoder_saturates_the_demo_hmm(tmp_path):
    config = short(steps=3000, batch_size=128, lr=1e-3, schedule="linear", warmup=0.06, checkpoints=[])
    changes = {"evaluate_every": 250, "resume_every": 3000, "evaluation_sentences": 4096}
    config = TrainConfig(**(vars(config) | changes | {"threshold": 0.02, "stop_at_saturation": True}))
    rows = session(tmp_path, "bert-1x32", config)
    assert rows[-1]["saturated"]
    assert 0 < rows[-1]["kl"] < rows[-1]["kl_upper95"] < 0.02
    assert rows[-1]["step"] <= 3000
    assert [row["saturated"] for row in rows[:-1]] == [False] * (len(rows) - 1)
