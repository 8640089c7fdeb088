"""The optimisers as entries: where their settings come from, what is refused, and Muon beside AdamW."""

import math
from dataclasses import dataclass

import pytest
import torch
from support.networks import gap
from support.training import parts, session, short, tensors_of, trainer

from satlab.errors import InputError
from satlab.lab.reading import from_mapping
from satlab.lab.runs.run import create_run, load_run
from satlab.registry import settings_of
from satlab.train import TrainConfig, checkpoints, masked_loss
from satlab.train.optimizers import Optimizer, optimizers
from satlab.train.schedules import schedules

NAMES = ("bert-1x16", "bert-post-1x16", "gpt-1x16", "lstm-1x16", "lstm-residual-1x8")


def muon(settings=None, **changes):
    return short(optimizer="muon", optimizer_settings=settings or {}, **changes)


# ---- settings


def test_a_field_takes_the_training_setting_of_its_name():
    entry = TrainConfig(lr=0.3, betas=(0.1, 0.2), eps=1e-3, weight_decay=0.4).optimizer_entry
    assert (entry.lr, entry.betas, entry.eps, entry.weight_decay) == (0.3, (0.1, 0.2), 1e-3, 0.4)
    assert TrainConfig(optimizer="sgd", momentum=0.5).optimizer_entry.momentum == 0.5
    entry = muon({"matrix_lr": 2, "ns_steps": 3}, lr=0.3).optimizer_entry
    assert (entry.lr, entry.matrix_lr, entry.ns_steps, entry.muon_momentum) == (0.3, 2.0, 3, 0.95)


@pytest.mark.parametrize("name", list(optimizers))
def test_every_setting_is_documented(name):
    text = optimizers[name].__doc__
    assert [field.name for field in settings_of(optimizers[name]) if f"        {field.name}: " not in text] == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"optimizer": "moun"}, "optimizer is 'moun', expected one of .*did you mean 'muon'"),
        (
            {"optimizer_settings": {"matrix_lr": 1.0}},
            "optimizer_settings holds 'matrix_lr', but optimizer 'adamw' has no",
        ),
        ({"optimizer": "muon", "optimizer_settings": {"matrxlr": 1.0}}, "did you mean 'matrix_lr'"),
        (
            {"optimizer": "muon", "optimizer_settings": {"lr": 1.0}},
            "'lr', which is a setting of training; give lr itself",
        ),
        (
            {"optimizer": "muon", "optimizer_settings": {"matrix_lr": 0}},
            "matrix_lr is '0.0', expected a positive number",
        ),
        (
            {"optimizer": "muon", "optimizer_settings": {"matrix_lr": math.nan}},
            "matrix_lr is 'nan', expected a positive",
        ),
        (
            {"optimizer": "muon", "optimizer_settings": {"matrix_lr": "x"}},
            "matrix_lr is 'x', expected a number or null",
        ),
        (
            {"optimizer": "muon", "optimizer_settings": {"muon_momentum": 1.0}},
            "muon_momentum is '1.0', expected a share",
        ),
        ({"optimizer": "muon", "optimizer_settings": {"ns_steps": 0}}, "ns_steps is '0', expected 1 to 99"),
        ({"optimizer": "muon", "optimizer_settings": {"ns_steps": 2.5}}, "ns_steps is '2.5', expected an integer"),
        (
            {"optimizer": "muon", "optimizer_settings": {"ns_steps": True}},
            "ns_steps is 'True', expected an integer",
        ),
        ({"optimizer": "muon", "momentum": 0.5}, "momentum is 0.5, which only sgd uses"),
        (
            {"optimizer": "muon", "sharding": "fsdp"},
            "sharding 'fsdp' with optimizer 'muon', which needs whole matrices",
        ),
    ],
)
def test_wrong_settings_are_refused_in_one_line(changes, message):
    for make in (lambda: TrainConfig(**changes), lambda: from_mapping(TrainConfig, changes, "study.yaml")):
        with pytest.raises(InputError, match=message) as error:
            make()
        assert "\n" not in str(error.value)


def test_an_entry_of_another_package_is_an_optimizer(tmp_path, monkeypatch):
    monkeypatch.setattr(optimizers, "entries", dict(optimizers.entries))

    @optimizers.register("sign")
    @dataclass(frozen=True)
    class Sign(Optimizer):
        lr: float
        rho: float = 0.5

        def build(self, model, sharded=False):
            return torch.optim.Rprop(model.parameters(), self.lr, etas=(self.rho, 1.2))

        def state_size(self, total, embeddings):
            return 2 * total

    config = TrainConfig(optimizer="sign", optimizer_settings={"rho": "0.25"})
    assert config.optimizer_entry == Sign(config.lr, 0.25)


@pytest.mark.parametrize("name", list(schedules))
def test_a_schedule_ends_where_it_says(name):
    schedule = schedules[name]()
    assert schedule.share(1.0) == 1.0
    assert schedule.share(0.0) == pytest.approx(1.0 if name == "constant" else 0.0)
    assert schedule.share(0.5) == pytest.approx(1.0 if name in ("constant", "wsd") else 0.5)


# ---- on disk


def test_a_run_holds_the_settings_of_its_optimizer_only_where_there_are_any(tmp_path):
    for name, config in (("plain", short()), ("muon", muon({"ns_steps": 3}))):
        for _ in range(2):
            run = create_run(tmp_path / name, "demo-hmm", "bert-1x8", config)
            assert run.config.optimizer_settings == config.optimizer_settings
        assert ("optimizer_settings" in (tmp_path / name / "config.yaml").read_text()) == (name == "muon")
        assert load_run(tmp_path / name).config.optimizer_entry == config.optimizer_entry
    with pytest.raises(InputError, match=r"another run \(optimizer_settings: \{'ns_steps': 3\} there, \{\} given"):
        create_run(tmp_path / "muon", "demo-hmm", "bert-1x8", muon())
    with pytest.raises(InputError, match=r"another run \(optimizer: adamw there, muon given"):
        create_run(tmp_path / "plain", "demo-hmm", "bert-1x8", muon())


# ---- Muon


def orthogonal_factor(matrix, steps):
    """Newton-Schulz as published, but in the precision of the matrix."""
    a, b, c = 3.4445, -4.7750, 2.0315
    wide = matrix.shape[0] <= matrix.shape[1]
    x = matrix if wide else matrix.T
    x = x / x.norm()
    for _ in range(steps):
        gram = x @ x.T
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x if wide else x.T


@pytest.mark.parametrize("name", NAMES)
def test_matrices_inside_the_network_move_by_muon_and_the_rest_by_adamw(name, tmp_path):
    changes = {"lr": 1e-3, "warmup": 0.0, "steps": 1, "weight_decay": 0.3}
    made = trainer(name, muon({"matrix_lr": 0.02}, **changes), tmp_path)
    model = made.model.double()
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    gradients = torch.autograd.grad(masked_loss(model, made.stream.batch(1)), list(model.parameters()))
    found = dict(zip(before, gradients, strict=True))
    list(made.rows())
    seen = 0
    for parameter, after in model.named_parameters():
        start, g = before[parameter], found[parameter]
        if start.dim() == 2 and not any(word in parameter for word in ("embedding", "position", "norm", "bias")):
            seen += 1
            momentum = 0.05 * g
            step = orthogonal_factor(g + 0.95 * (momentum - g), 5)
            expected = start - 0.02 * 0.3 * start - 0.02 * 0.2 * max(start.shape) ** 0.5 * step
            assert gap(after.detach(), expected) < 1e-12
        else:
            decay = 0.3 if start.dim() > 1 else 0.0
            expected = start - 1e-3 * decay * start - 1e-3 * g / (g.abs() + 1e-6)
            assert gap(after.detach(), expected) < 1e-12
    assert seen >= 3


@pytest.mark.parametrize("name", NAMES[:4:3])
def test_a_checkpoint_of_muon_holds_one_momentum_a_matrix_and_two_moments_of_the_rest(name, tmp_path):
    session(tmp_path, name, muon())
    found = tensors_of(checkpoints(tmp_path)[-1][1])
    entry, model = muon().optimizer_entry, parts(name, muon())[0]
    buffers = [key for key in found if key.endswith("momentum_buffer")]
    seconds = [key for key in found if key.endswith("exp_avg_sq")]
    assert len(buffers) + len(seconds) == len(list(model.parameters()))
    state = sum(value.numel() for key, value in found.items() if key.startswith("optimizer") and "step" not in key)
    total = sum(p.numel() for p in model.parameters())
    embeddings = sum(p.numel() for key, p in model.named_parameters() if "embedding" in key or "position" in key)
    assert entry.state_size(total, embeddings) <= state < entry.state_size(total, embeddings) * 1.2


@pytest.mark.slow
def test_muon_saturates_the_demo_hmm_in_fewer_steps_than_adamw(tmp_path):
    changes = {"steps": 3000, "batch_size": 128, "lr": 3e-3, "targets": "exact", "checkpoints": [], "warmup": 0.02}
    often = {"evaluate_every": 20, "resume_every": 3000, "evaluation_sentences": 4096, "stop_at_saturation": True}
    needed = {}
    for name in ("adamw", "muon"):
        rows = session(tmp_path / name, "bert-2x64", short(optimizer=name, threshold=0.01, **changes, **often))
        assert rows[-1]["saturated"], name
        needed[name] = rows[-1]["step"]
    assert needed["muon"] < needed["adamw"]
