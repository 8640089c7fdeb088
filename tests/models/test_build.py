"""Names of models, their initial weights, and models on disk."""

import json
import re

import pytest
import safetensors.torch
import torch
from support.networks import NETWORKS, demo_hmm, grammar_language, padded_sentences, same_weights, shaken
from support.untouched import untouched
from torch import nn

from satlab.errors import InputError
from satlab.models import build_model, load_model, save_model

WRONG_NAMES = {
    "brt-2x64": "did you mean 'bert'",
    "gtp-2x64": "did you mean 'gpt'",
    "xlnet-2x64": "unknown model 'xlnet': expected one of: bert, bert-post, brackets-attention, gpt, lookup,",
    "gpt": "expected gpt-LAYERSxWIDTH, for example gpt-2x64",
    "gpt-2x96": "expected a multiple of the head size 64; choose one, for example gpt-2x128",
    "bert": "expected bert-LAYERSxWIDTH, for example bert-2x64",
    "bert-post": "expected bert-post-LAYERSxWIDTH, for example bert-post-2x64",
    "lstm-x16": "unknown model",
    "lstm-1": "expected lstm-LAYERSxWIDTH",
    "bert-0x16": "expected bert-LAYERSxWIDTH",
    "bert-1x0": "expected bert-LAYERSxWIDTH",
    "bert-1x016": "expected bert-LAYERSxWIDTH",
    "bert-1x16 ": "expected bert-LAYERSxWIDTH",
    "bert-1x16x3": "expected bert-LAYERSxWIDTH",
    "bert--1x16": "model",
    "BERT-1x16": "unknown model 'BERT'",
    "": "unknown model",
    "bert-2x100": "expected a multiple of the head size 64; choose one, for example bert-2x128",
    "bert-post-3x65": "for example bert-post-3x64",
}


@pytest.mark.parametrize("name", list(WRONG_NAMES))
def test_a_wrong_name_is_answered_with_a_right_one(name):
    with pytest.raises(InputError, match=re.escape(WRONG_NAMES[name])):
        build_model(name, demo_hmm())


@pytest.mark.parametrize(
    "name", ["bert-2x100", "bert-post-3x65", "bert-1x0", "gpt-1x65", "lstm-1", "lookup-1x16", "lookup-2"]
)
def test_the_name_that_is_offered_can_be_built(name):
    with pytest.raises(InputError) as raised:
        build_model(name, demo_hmm())
    offered = re.search(r"(for example|did you mean) '?([\w-]+)", str(raised.value))
    assert offered, str(raised.value)
    assert build_model(offered[2], demo_hmm()).vocab_size == 10


@pytest.mark.parametrize("name", [*NETWORKS, "gpt-2x16"])
def test_weights_depend_on_the_seed_alone(name):
    language = demo_hmm()
    torch.manual_seed(1)
    one = build_model(name, language, 3).state_dict()
    torch.manual_seed(2)
    torch.rand(17)
    assert same_weights(one, build_model(name, language, 3, dropout=0.1).state_dict())
    other = build_model(name, language, 4).state_dict()
    assert not any(torch.equal(one[k], other[k]) for k in one if one[k].dim() > 1 and "norm" not in k)


@pytest.mark.parametrize("name", [*NETWORKS, "gpt-2x16", "lookup"])
def test_building_leaves_the_global_random_state_alone(name):
    language = demo_hmm()
    with untouched():
        build_model(name, language)


@pytest.mark.parametrize("name", ["bert-2x64", "bert-post-2x64", "gpt-2x64", "lstm-2x64"])
def test_initial_weights_are_normal_biases_zero_and_norms_one(name):
    model = build_model(name, demo_hmm())
    norms = {n for n, m in model.named_modules() if isinstance(m, nn.LayerNorm)}
    for parameter_name, parameter in model.named_parameters():
        module, _, kind = parameter_name.rpartition(".")
        if module in norms:
            assert (parameter == (1.0 if kind == "weight" else 0.0)).all()
        elif parameter.dim() == 1:
            assert (parameter == 0).all()
        elif module == "lstm":
            bound = parameter.shape[1] ** -0.5
            assert parameter.abs().max() <= bound
            assert parameter.std().item() == pytest.approx(bound / 3**0.5, rel=0.05)
        else:
            assert parameter.std().item() == pytest.approx(0.02, rel=5 / (2 * parameter.numel()) ** 0.5)
            assert abs(parameter.mean().item()) < 5 * 0.02 / parameter.numel() ** 0.5


@pytest.mark.parametrize("name", ["bert-1x16", "bert-post-2x16", "lstm-2x8"])
def test_an_untrained_network_predicts_nearly_uniformly(name):
    language = grammar_language()
    model, (tokens, _) = build_model(name, language), padded_sentences(language)
    assert model(tokens).softmax(-1).sub(1 / language.vocab_size).abs().max() < 0.05


@pytest.mark.parametrize("name", [*NETWORKS, "gpt-2x16"])
def test_saving_and_loading_changes_no_bit(name, tmp_path):
    language = grammar_language()
    model = shaken(name, language, dropout=0.25, dtype=torch.float32)
    save_model(model, tmp_path)
    torch.manual_seed(5)
    loaded = load_model(tmp_path)
    assert same_weights(model.state_dict(), loaded.state_dict())
    assert not loaded.training
    assert type(loaded) is type(model)
    assert (loaded.name, loaded.vocab_size, loaded.max_length) == (name, language.vocab_size, language.max_length)
    assert [m.p for m in loaded.modules() if isinstance(m, nn.Dropout)] == [
        m.p for m in model.modules() if isinstance(m, nn.Dropout)
    ]
    tokens, _ = padded_sentences(language)
    assert torch.equal(loaded(tokens), model(tokens))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["model.json", "model.safetensors"]


def test_the_last_checkpoint_of_a_run_is_loaded(tmp_path):
    language, models = demo_hmm(), {}
    for step in (8, 16, 100_000_000):
        folder = tmp_path / "checkpoints" / f"step-{step:08d}"
        folder.mkdir(parents=True)
        models[step] = shaken("bert-1x16", language, seed=step, dtype=torch.float32)
        save_model(models[step], folder)
    (tmp_path / "checkpoints" / ".step-00000017.partial").mkdir()
    assert same_weights(load_model(tmp_path).state_dict(), models[100_000_000].state_dict())
    one = load_model(tmp_path / "checkpoints" / "step-00000008")
    assert same_weights(one.state_dict(), models[8].state_dict())


@pytest.mark.parametrize("path", ["", "nothing/here"])
def test_a_directory_without_a_model_is_named(tmp_path, path):
    with pytest.raises(InputError, match=r"no checkpoint here, expected a run or a checkpoint directory"):
        load_model(tmp_path / path)


def without(key):
    def change(folder):
        content = json.loads((folder / "model.json").read_text())
        del content[key]
        (folder / "model.json").write_text(json.dumps(content))

    return change


def cut_weights(at):
    def change(folder):
        content = (folder / "model.safetensors").read_bytes()
        (folder / "model.safetensors").write_bytes(content[: at if at >= 0 else len(content) + at])

    return change


def rename_tensor(folder):
    tensors = safetensors.torch.load_file(folder / "model.safetensors")
    tensors["other"] = tensors.pop("words.bias")
    safetensors.torch.save_file(tensors, folder / "model.safetensors")


DAMAGE = {
    "weights empty": cut_weights(0),
    "weights cut in the header": cut_weights(50),
    "weights one byte short": cut_weights(-1),
    "weights missing": lambda folder: (folder / "model.safetensors").unlink(),
    "weights are noise": lambda folder: (folder / "model.safetensors").write_bytes(bytes(range(256)) * 20),
    "tensor renamed": rename_tensor,
    "description cut": lambda folder: (folder / "model.json").write_text('{"name": "bert-1x1'),
    "description empty": lambda folder: (folder / "model.json").write_text(""),
    "description is noise": lambda folder: (folder / "model.json").write_bytes(b"\xff\xfe\x00\x80"),
    "description is a list": lambda folder: (folder / "model.json").write_text("[1, 2]"),
    "description of another size": lambda folder: (folder / "model.json").write_text(
        '{"name": "bert-1x32", "vocab_size": 10, "max_length": 8, "dropout": 0.0}'
    ),
    "description with text for a number": lambda folder: (folder / "model.json").write_text(
        '{"name": "bert-1x16", "vocab_size": "ten", "max_length": 8, "dropout": 0.0}'
    ),
    "no name": without("name"),
    "no vocab_size": without("vocab_size"),
}


@pytest.mark.parametrize("damage", list(DAMAGE))
def test_a_damaged_model_is_refused(tmp_path, damage):
    save_model(build_model("bert-1x16", demo_hmm()), tmp_path)
    load_model(tmp_path)
    DAMAGE[damage](tmp_path)
    with pytest.raises(
        InputError,
        match=r"damaged checkpoint .*; use another checkpoint \(--step\), or train again \(with another --out\)$",
    ):
        load_model(tmp_path)
