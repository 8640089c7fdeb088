"""What one step does: SGD written out, learning from the exact conditional, bf16, and a compiled network."""

import shutil
from itertools import product

import pytest
import torch
from support.networks import gap, grammar_language, same_weights, shaken, tiny_hmm
from support.training import parts, session, short, tensors_of, trainer

from satlab.generators.batches import Batch, Stream
from satlab.train import TrainConfig, checkpoints, masked_loss
from satlab.train.losses import MaskedLoss
from satlab.train.objectives import Exact
from satlab.train.parallel.world import World
from satlab.train.step import Stepper, compilation


def gradients(loss, model):
    return torch.autograd.grad(loss, list(model.parameters()))


# ---- SGD


def sgd(model, stream, config, steps):
    """v <- momentum v + g + decay w (v = g + decay w at first), w <- w - lr v, decay for matrices alone."""
    velocity = {}
    for step in range(1, steps + 1):
        found = gradients(masked_loss(model, stream.batch(step)), model)
        with torch.no_grad():
            for p, g in zip(model.parameters(), found, strict=True):
                force = g + config.weight_decay * p if p.dim() > 1 else g
                velocity[p] = config.momentum * velocity[p] + force if p in velocity else force.clone()
                p -= config.learning_rate(step) * velocity[p]


@pytest.mark.parametrize(("momentum", "decay"), [(0.0, 0.0), (0.0, 0.3), (0.9, 0.3)])
@pytest.mark.parametrize("name", ["bert-1x16", "bert-post-1x16", "lstm-1x16"])
def test_steps_are_sgd_with_decay_on_matrices_alone(name, momentum, decay, tmp_path):
    changes = {"steps": 6, "weight_decay": decay, "warmup": 0.5, "checkpoints": [], "lr": 0.5}
    config = short(optimizer="sgd", momentum=momentum, **changes)
    made = trainer(name, config, tmp_path)
    model = made.model.double()
    for _ in made.rows():
        pass
    expected = parts(name, config)[0].double()
    sgd(expected, made.stream, config, 6)
    assert max(gap(p, q) for p, q in zip(model.parameters(), expected.parameters(), strict=True)) < 1e-12
    untrained = parts(name, config)[0].double()
    assert max(gap(p, q) for p, q in zip(model.parameters(), untrained.parameters(), strict=True)) > 1e-3


def test_sgd_as_published_warms_up_for_half_of_the_steps():
    config = TrainConfig(optimizer="sgd", steps=1000, warmup=0.5, lr=1e-3)
    assert config.learning_rate(250) == pytest.approx(5e-4)
    assert {config.learning_rate(step) for step in range(500, 1001)} == {1e-3}


@pytest.mark.parametrize(("momentum", "count"), [(0.0, 0), (0.9, 1)])
def test_a_checkpoint_of_sgd_holds_the_velocities_and_nothing_else(momentum, count, tmp_path):
    config = short(optimizer="sgd", momentum=momentum, lr=0.1)
    session(tmp_path, "bert-1x16", config)
    found = tensors_of(checkpoints(tmp_path)[-1][1])
    parameters = len(list(parts("bert-1x16", config)[0].parameters()))
    assert sum(name.startswith("optimizer") for name in found) == count * parameters


# ---- exact targets


def compatible(language, inputs):
    """[(sentence, its probability given the visible words)] of a masked sentence [T], for all hidden words."""
    hidden = (inputs == language.mask_id).nonzero()[:, 0]
    sentences = inputs.repeat(language.vocab_size ** len(hidden), 1)
    sentences[:, hidden] = torch.tensor(list(product(range(language.vocab_size), repeat=len(hidden))))
    lengths = (sentences != language.pad_id).sum(1)
    return sentences, language.log_prob(sentences, lengths).softmax(0)


@pytest.mark.parametrize("masking", ["one", "bernoulli:0.5"])
@pytest.mark.parametrize("make", [tiny_hmm, grammar_language])
def test_exact_targets_are_the_mean_over_what_could_be_hidden(make, masking):
    """sum_x p(x | visible) grad loss(x's words at the hidden places), every x written out: loss and gradient."""
    language = make()
    model, stream = shaken("bert-1x8", language), Stream(language, 6, 1, masking)
    batch = stream.batch(2)
    assert masking == "one" or batch.rows.bincount().max() > 1
    value, expected = 0.0, [torch.zeros_like(p) for p in model.parameters()]
    for row in range(len(batch.inputs)):
        places = batch.positions[batch.rows == row]
        if not len(places):
            continue
        for sentence, p in zip(*compatible(language, batch.inputs[row]), strict=True):
            if p == 0:
                continue
            rows = torch.zeros_like(places)
            one = Batch(batch.inputs[row : row + 1], rows, places, sentence[places])
            loss = masked_loss(model, one) * len(places) / len(batch.targets)
            value += float(p) * float(loss.detach())
            for total, g in zip(expected, gradients(loss, model), strict=True):
                total += p * g
    exact = MaskedLoss(model, Exact())(batch, stream.truth(batch), len(batch.targets))
    assert exact.item() == pytest.approx(value, abs=1e-12)
    found = gradients(exact, model)
    assert max(gap(g, e) for g, e in zip(found, expected, strict=True)) < 1e-12
    assert max(gap(g, s) for g, s in zip(found, gradients(masked_loss(model, batch), model), strict=True)) > 1e-3


@pytest.mark.parametrize("masking", ["one", "bernoulli:0.5"])
def test_a_step_on_exact_targets_follows_their_gradient(masking, tmp_path):
    config = short(targets="exact", optimizer="sgd", lr=1.0, warmup=0.0, weight_decay=0.0, steps=1, masking=masking)
    made = trainer("lstm-1x16", config, tmp_path)
    model = made.model.double()
    before = [p.detach().clone() for p in model.parameters()]
    batch = made.stream.batch(1)
    truth = made.stream.truth(batch)
    log_f = model(batch.inputs)[batch.rows, batch.positions].log_softmax(1)
    loss = -(truth * log_f).sum() / len(truth)
    expected = [p - g for p, g in zip(before, gradients(loss, model), strict=True)]
    (row,) = made.rows()
    assert row.loss == pytest.approx(loss.item(), abs=1e-12)
    assert max(gap(p, e) for p, e in zip(model.parameters(), expected, strict=True)) < 1e-12


def test_exact_targets_have_less_noise(tmp_path):
    """The same sentences: only the label noise is gone, and most of the loss's variance is that."""
    spread = {}
    for targets in ("sampled", "exact"):
        losses = {}
        session(tmp_path / targets, "bert-1x16", short(targets=targets, lr=1e-6), on_step=losses.__setitem__)
        spread[targets] = torch.tensor(list(losses.values())).std()
    assert spread["exact"] ** 2 < 0.2 * spread["sampled"] ** 2


# ---- bf16


@pytest.mark.parametrize("targets", ["sampled", "exact"])
@pytest.mark.parametrize("name", ["bert-1x16", "lstm-1x16"])
def test_a_step_in_bf16_is_nearly_one_in_float32(name, targets, tmp_path):
    moved, losses = {}, {}
    for precision in ("float32", "bf16"):
        changes = {
            "steps": 1,
            "warmup": 0.0,
            "weight_decay": 0.0,
            "optimizer": "sgd",
            "lr": 1.0,
            "masking": "bernoulli",
        }
        config = short(precision=precision, targets=targets, **changes)
        made = trainer(name, config, tmp_path / precision)
        model = made.model
        before = torch.cat([p.detach().clone().flatten() for p in model.parameters()])
        (row,) = made.rows()
        assert all(p.dtype == torch.float32 for p in model.parameters())
        moved[precision] = torch.cat([p.detach().flatten() for p in model.parameters()]) - before
        losses[precision] = row.loss
    assert losses["bf16"] == pytest.approx(losses["float32"], rel=1e-2)
    error = (moved["bf16"] - moved["float32"]).norm() / moved["float32"].norm()
    assert 1e-5 < error < 0.05


def test_bf16_is_for_training_alone(tmp_path):
    """Weights, moments and measurements are float32's: KL is that of the checkpoint read back."""
    config = short(precision="bf16", dropout=0.1)
    rows = session(tmp_path, "bert-1x16", config)
    folder = checkpoints(tmp_path)[-1][1]
    assert {tensor.dtype for tensor in tensors_of(folder).values()} == {torch.float32}
    plain = session(tmp_path / "plain", "bert-1x16", short(dropout=0.1))
    assert rows[-1]["kl"] == pytest.approx(plain[-1]["kl"], rel=0.05)
    assert not same_weights(tensors_of(folder), tensors_of(checkpoints(tmp_path / "plain")[-1][1]))


# ---- compilation


needs_compiler = pytest.mark.skipif(not any(map(shutil.which, ("g++", "c++", "clang++"))), reason="no C++ compiler")


def steps_of(config, name, count):
    """The losses of the first steps, and the weights after them."""
    model, stream, _ = parts(name, config)
    take = Stepper(model, config.optimizer_entry.build(model), stream, config, None, World())
    losses = [float(take(step)[0]) for step in range(1, count + 1)]
    return losses, [p.detach() for p in model.parameters()]


@needs_compiler
@pytest.mark.slow
@pytest.mark.parametrize("name", ["bert-1x16", "lstm-1x16"])
@pytest.mark.parametrize(("targets", "masking"), [("sampled", "one"), ("exact", "bernoulli:0.4")])
def test_a_compiled_step_is_the_same_step(name, targets, masking):
    """Also where the number of hidden words differs from step to step."""
    changes = {"targets": targets, "masking": masking}
    plain, weights = steps_of(short(**changes), name, 4)
    compiled, others = steps_of(short(compile=True, **changes), name, 4)
    assert compiled == pytest.approx(plain, abs=1e-5)
    # One step of AdamW moves a weight by lr even where rounding decides the gradient's sign; these few are left out.
    moved = torch.cat([(p - q).abs().flatten() for p, q in zip(weights, others, strict=True)])
    assert float(moved.quantile(0.99)) < 1e-6
    assert float(moved.max()) < 0.5 * short().lr


@pytest.mark.parametrize(
    ("device", "masking", "mode"),
    [
        ("cpu", "one", "max-autotune-no-cudagraphs"),
        ("cuda", "one", "reduce-overhead"),
        ("cuda", "bernoulli:0.15", "default"),
        ("cuda", "next", "default"),
    ],
)
def test_cuda_graphs_are_recorded_where_shapes_do_not_change(device, masking, mode):
    assert compilation(device, masking) == mode
