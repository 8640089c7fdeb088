"""Words' vectors that training keeps: the same bits, whatever else moves; Quad with the vectors of another run."""

import pytest
import torch
from support.networks import tiny_hmm

from satlab.errors import InputError
from satlab.lab.cli import main as cli
from satlab.models import build_model, load_model
from satlab.theory import Subject
from satlab.theory.saunshi_quad import SaunshiQuad
from satlab.train import TrainConfig, Trainer

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
    losses = [list(SaunshiQuad().check(Subject(model, language)))[1] for model in (first, last)]
    assert losses[1].right.value - losses[1].left.value < 0.1 * (losses[0].right.value - losses[0].left.value)
