"""Words' vectors that training keeps: the same bits, whatever else moves; Quad with the vectors of another run."""

import json
from dataclasses import replace

import pytest
import torch
from support.networks import tiny_hmm

from satlab.errors import InputError
from satlab.lab.cli import main as cli
from satlab.models import build_model, load_model
from satlab.theory import Subject
from satlab.theory.saunshi_quad import SaunshiQuad
from satlab.train import TrainConfig, Trainer
from satlab.train.saturation import HeldOut

SMALL = {"steps": 6, "batch_size": 4, "evaluation_sentences": 4, "evaluate_every": 3, "checkpoints": [6], "lr": 0.01}


def trained(name, folder, stop_at=None, **settings):
    language = tiny_hmm(5, 3)
    model = build_model(name, language, 0)
    begin = {key: value.clone() for key, value in model.state_dict().items()}
    config = TrainConfig(**(SMALL | {"freeze": "embedding", "threshold": 1e-9} | settings))
    seen = []
    trainer = Trainer(
        model, language, config, folder, on_step=lambda step, _: seen.append(step), should_stop=lambda: stop_at in seen
    )
    try:
        list(trainer.rows())
    except RuntimeError:
        assert stop_at is not None
    return begin, model


@pytest.mark.parametrize("optimizer", ["adamw", "sgd", "muon"])
@pytest.mark.parametrize("name", ["gpt-1x8", "bert-1x8"])
def test_the_words_keep_their_bits_and_all_else_moves(name, optimizer, tmp_path):
    begin, model = trained(name, tmp_path / "run", optimizer=optimizer, weight_decay=0.1)
    for key, value in model.state_dict().items():
        assert torch.equal(value, begin[key]) == ("embedding" in key), key


def test_resumed_bits(tmp_path):
    _, whole = trained("gpt-1x8", tmp_path / "whole", average=0.5)
    trained("gpt-1x8", tmp_path / "cut", stop_at=4, average=0.5)
    _, resumed = trained("gpt-1x8", tmp_path / "cut", average=0.5)
    for key, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[key]), key


def test_what_does_not_go_together(tmp_path):
    for settings, message in (
        ({"freeze": "head"}, "freeze is 'head', expected embedding"),
        ({"freeze": "embedding", "sharding": "fsdp"}, "sharding 'fsdp' with freeze"),
    ):
        with pytest.raises(InputError, match=message):
            TrainConfig(**settings)
    model = build_model("gpt-1x8", tiny_hmm(5, 3))
    Trainer(model, tiny_hmm(5, 3), TrainConfig(**SMALL, freeze="embedding"), tmp_path / "run")
    Trainer(model, tiny_hmm(5, 3), TrainConfig(**SMALL), tmp_path / "run")
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_quad_with_the_vectors_of_a_cross_entropy_run(printed, tmp_path):
    """The head's row space stays that of the other run up to the bias, and the rest learns what fits it best."""
    language = tiny_hmm(5, 3)
    language.save(str(tmp_path / "tiny"))
    small = "--batch_size 64 --evaluation_sentences 64 --threshold 1e-9"
    begin = f"train tiny.npz --model gpt-1x16 --steps 20 --targets exact --lr 0.01 --out kl {small}"
    assert cli.run(begin.split()) == 0
    line = f"train tiny.npz --from kl --targets quad --freeze embedding --steps 150 --lr 0.01 --out quad {small}"
    printed(line)
    config = (tmp_path / "quad" / "config.yaml").read_text()
    assert "freeze: embedding" in config
    assert "freeze" not in (tmp_path / "kl" / "config.yaml").read_text()
    first, last = (
        load_model(next((tmp_path / run / "checkpoints").glob(f"*{step}"))) for run, step in (("kl", 20), ("quad", 150))
    )
    assert torch.equal(first.words.embedding.weight, last.words.embedding.weight)
    assert not torch.equal(first.words.bias, last.words.bias)
    rows = [json.loads(row) for row in (tmp_path / "quad" / "metrics.jsonl").read_text().splitlines()]
    assert 0 < rows[-1]["excess"] < 1
    assert rows[-1]["excess_stderr"] > 0
    assert "excess" not in (tmp_path / "kl" / "metrics.jsonl").read_text()
    losses = [list(SaunshiQuad().check(Subject(model, language)))[1] for model in (first, last)]
    assert losses[1].right.value - losses[1].left.value < 0.1 * (losses[0].right.value - losses[0].left.value)


def test_a_quad_model_is_saturated_by_the_excess_of_its_own_objective():
    """Half the mean square distance from the projection of the truth on what the head can reach, by least squares."""
    language = tiny_hmm(5, 3)
    model = build_model("gpt-1x2:heads=1", language)
    settings = SMALL | {"masking": "next", "evaluation_sentences": 64, "most_evaluation_sentences": 64}
    held_out = HeldOut(language, TrainConfig(**settings, targets="quad", threshold=10.0))
    found = held_out.measure(model)
    batch, truth = held_out.parts[0].batch, held_out.parts[0].truth
    with torch.no_grad():
        logits = model.logits_at(batch.inputs, batch.rows, batch.positions).double()
        head = model.logits(torch.randn(9, 2, generator=torch.Generator().manual_seed(0))).double()  # spans what it can
    near = torch.linalg.lstsq(head.T, truth.T, driver="gelsd", rcond=1e-6).solution.T @ head
    assert found.excess.value == pytest.approx(float(batch.mean((logits - near).square().sum(1) / 2).value), rel=1e-5)
    assert found.decides is found.excess
    assert held_out.rule.holds(found.decides)
    assert not held_out.rule.holds(replace(found.excess, value=11.0))
    assert HeldOut(language, TrainConfig(**settings)).measure(model).excess is None
