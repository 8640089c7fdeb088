"""SOAP and Shampoo, which another library has: settings, state on disk, and what is said where it is not installed."""

import sys

import pytest
import torch
from support.networks import demo_hmm, gap
from support.training import check_same, parts, session, short, tensors_of, trainer

from satlab.errors import InputError
from satlab.models import build_model
from satlab.train import TrainConfig, checkpoint, checkpoints, masked_loss
from satlab.train.optimizer_state import flattened
from satlab.train.optimizers import optimizers

NAMES = ("soap", "shampoo")
SMALL = "--steps 4 --batch-size 8 --evaluation-sentences 20 --model bert-1x8"

try:
    import pytorch_optimizer
except ImportError:
    pytorch_optimizer = None
library = pytest.mark.skipif(pytorch_optimizer is None, reason="needs the extra soap")


def made(name, settings=None, **changes):
    return short(optimizer=name, optimizer_settings=settings or {}, **changes)


# ---- without the library


@pytest.mark.parametrize("name", NAMES)
def test_where_it_is_not_installed_one_line_says_so(refused, monkeypatch, name):
    monkeypatch.setitem(sys.modules, "pytorch_optimizer", None)
    said = f"optimizer '{name}': pytorch_optimizer is not installed, expected the extra `soap`; pip install"
    refused(f"train demo-hmm --out new --optimizer {name} {SMALL}", said)


@pytest.mark.parametrize("name", NAMES)
def test_the_settings_need_no_library(monkeypatch, name):
    """So that a run is measured where it is not installed."""
    monkeypatch.setitem(sys.modules, "pytorch_optimizer", None)
    assert name in optimizers
    assert made(name).optimizer_entry.state_size(100, 10) > 200


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("soap", {"precondition_every": 0}, "precondition_every is '0', expected at least 1"),
        ("soap", {"precondition_up_to": 0}, "precondition_up_to is '0', expected at least 1"),
        ("soap", {"betas": [0.9, 0.9]}, "'betas', which is a setting of training"),
        ("shampoo", {"precondition_every": -1}, "precondition_every is '-1', expected at least 1"),
        ("shampoo", {"matrix_lr": 0.0}, "matrix_lr is '0.0', expected a positive number"),
        ("shampoo", {"matrix_eps": 0.0}, "matrix_eps is '0.0', expected a positive number"),
        ("shampoo", {"matrixlr": 0.1}, "did you mean 'matrix_lr'"),
    ],
)
def test_wrong_settings_are_refused(name, settings, message):
    with pytest.raises(InputError, match=message):
        made(name, settings)


@pytest.mark.parametrize("name", NAMES)
def test_neither_is_sharded(name):
    with pytest.raises(InputError, match=f"sharding 'fsdp' with optimizer '{name}', which needs whole matrices"):
        TrainConfig(optimizer=name, sharding="fsdp")


# ---- one step by hand


def stepped(name, settings, steps, tmp_path, **changes):
    """(parameter -> its values before, after, its gradients at each step, its state) in float64."""
    config = made(name, settings, steps=steps, warmup=0.0, lr=1e-3, weight_decay=0.3, **changes)
    run = trainer("bert-1x8", config, tmp_path)
    model = run.model.double()
    optimizer = config.optimizer_entry.build(model)
    before = {key: p.detach().clone() for key, p in model.named_parameters()}
    seen = []
    for step in range(1, steps + 1):
        for group in optimizer.param_groups:
            group["lr"] = 1e-3 * group.get("lr_ratio", 1.0)
        model.zero_grad()
        masked_loss(model, run.stream.batch(step)).backward()
        seen.append({key: p.grad.clone() for key, p in model.named_parameters()})
        optimizer.step()
    after = dict(model.named_parameters())
    return before, after, seen, {key: optimizer.state[p] for key, p in after.items()}


def root(matrix, power):
    values, vectors = torch.linalg.eigh(matrix)
    return vectors @ torch.diag(values**power) @ vectors.T


@library
def test_shampoo_moves_matrices_inside_by_roots_of_both_sides(tmp_path):
    before, after, (found,), _ = stepped("shampoo", {"matrix_lr": 0.02, "matrix_eps": 1e-4}, 1, tmp_path)
    seen = 0
    for key, start in before.items():
        g = found[key]
        if start.dim() == 2 and not any(word in key for word in ("embedding", "position")):
            seen += 1
            left, right = (1e-4 * torch.eye(n).double() + m for n, m in zip(g.shape, (g @ g.T, g.T @ g), strict=True))
            step = root(left, -0.25) @ g @ root(right, -0.25)
            expected = start * (1 - 0.02 * 0.3) - 0.02 * step
            assert gap(after[key].detach(), expected) < 1e-10, key
        else:
            decay = 0.3 if start.dim() > 1 else 0.0
            expected = start - 1e-3 * decay * start - 1e-3 * g / (g.abs() + 1e-6)
            assert gap(after[key].detach(), expected) < 1e-10, key
    assert seen >= 3


@library
def test_soap_takes_adams_step_in_the_eigenbases_of_the_first_gradient(tmp_path):
    """Its first step only finds them; the second is Adam's first one: the sign of each rotated entry."""
    before, after, found, state = stepped("soap", {}, 2, tmp_path)
    for key, start in before.items():
        first, g = (each[key] for each in found)
        if start.dim() == 2:
            left, right = state[key]["Q"]
            for basis, moment in ((left, first @ first.T), (right, first.T @ first)):
                turned = basis.T @ moment @ basis
                assert gap(turned, turned.diagonal().diag()) < 1e-12 * (1 + turned.abs().max())
                assert gap(basis.T @ basis, torch.eye(len(basis)).double()) < 1e-12
            rotated = left.T @ g @ right
            # b1 and b2 leave (1 - b) of both moments, which the correction of their bias takes back.
            size = rotated.abs() + 1e-6 / (1 - 0.98) ** 0.5
            move = left @ (rotated / size) @ right.T
            keep = 1 - 1e-3 * 0.3
        else:
            move, keep = g / (g.abs() + 1e-6 / (1 - 0.98) ** 0.5), 1.0
        expected = (start - 1e-3 * move) * keep
        assert gap(after[key].detach(), expected) < 1e-10, key


# ---- on disk


@library
@pytest.mark.parametrize("settings", [{}, {"precondition_every": 3}])
@pytest.mark.parametrize("name", NAMES)
def test_sessions_that_end_anywhere_change_no_bit(name, settings, tmp_path):
    config = made(name, settings, dropout=0.2)
    whole, rows = session(tmp_path / "whole", "bert-1x16", config), []
    for take in (1, 3, 2):
        rows = session(tmp_path / "parts", "bert-1x16", config, rows, take=take)
    rows = session(tmp_path / "parts", "bert-1x16", config, rows)
    check_same(tmp_path / "whole", whole, tmp_path / "parts", rows)


@library
@pytest.mark.parametrize("name", NAMES)
def test_what_is_restored_is_what_was_saved_as_it_lay_in_memory(name, tmp_path):
    config = made(name, {"precondition_every": 2})
    session(tmp_path, "lstm-1x8", config)
    model = build_model("lstm-1x8", demo_hmm())
    optimizer = config.optimizer_entry.build(model)
    checkpoint.restore(tmp_path, model, optimizer)
    kept, now = tensors_of(checkpoints(tmp_path)[-1][1]), flattened(optimizer)
    assert now.keys() == {key.removeprefix("optimizer ") for key in kept if key.startswith("optimizer ")}
    assert all(torch.equal(value, kept[f"optimizer {key}"]) for key, value in now.items())
    assert any(key.startswith("group.") and int(value) == 24 for key, value in now.items())


@library
@pytest.mark.parametrize("network", ["bert-1x16", "bert-post-1x16", "gpt-1x16", "lstm-1x16", "lstm-residual-1x8"])
@pytest.mark.parametrize("name", NAMES)
def test_the_state_is_at_least_as_large_as_is_said(name, network, tmp_path):
    config = made(name, steps=2, checkpoints=[])
    session(tmp_path, network, config)
    found = tensors_of(checkpoints(tmp_path)[-1][1])
    state = sum(value.numel() for key, value in found.items() if key.startswith("optimizer") and value.dim() > 0)
    model = parts(network, config)[0]
    total = sum(p.numel() for p in model.parameters())
    embeddings = sum(p.numel() for key, p in model.named_parameters() if "embedding" in key or "position" in key)
    assert 2 * total < config.optimizer_entry.state_size(total, embeddings) <= state


@library
@pytest.mark.parametrize("name", NAMES)
def test_a_run_of_either_is_measured_where_the_library_is_not(name, satlab, monkeypatch):
    satlab(f"train demo-hmm --out run --optimizer {name} {SMALL}")
    monkeypatch.setitem(sys.modules, "pytorch_optimizer", None)
    satlab("evaluate run --sentences 20")
