"""A post-LN BERT and Hugging Face's, from the same weights: equal logits in both directions, and through files."""

import json
import re
import shlex

import pytest
import torch
from support.hints import without_hint
from support.networks import demo_hmm, gap, grammar_language, inside, padded_sentences, same_weights, shaken
from support.untouched import untouched
from support.words import generator

from satlab.errors import InputError
from satlab.lab.cli import main as cli
from satlab.models import build_model, load_model, save_model
from satlab.models.hugging_face import from_hugging_face, to_hugging_face

transformers = pytest.importorskip("transformers")

NAMES = ("bert-post-1x16", "bert-post-3x64", "bert-post-2x128")
TOLERANCE = {torch.float64: 1e-10, torch.float32: 1e-5}


def config(**changes):
    """Of a network that can be read: 10 words, 2 layers of width 64, two token types, room for 9 tokens."""
    sizes = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 1, "intermediate_size": 256}
    rest = {"vocab_size": 13, "pad_token_id": 10, "max_position_embeddings": 9, "hidden_dropout_prob": 0.1}
    return transformers.BertConfig(**(sizes | rest | changes))


def foreign(dtype=torch.float64, **changes):
    """Hugging Face's own network, with noise on all its parameters, the output's bias and the token types included."""
    with torch.random.fork_rng():
        network = transformers.BertForMaskedLM(config(**changes)).to(dtype)
    noise = generator(4)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += 0.1 * torch.randn(parameter.shape, generator=noise, dtype=torch.float64).to(dtype)
    return network.eval()


def sentences():
    """(tokens with a word hidden in each, which of them are inside a sentence), of several lengths."""
    language = grammar_language()
    tokens, lengths = padded_sentences(language)
    masked = tokens.clone()
    masked[torch.arange(len(tokens)), lengths // 2] = language.mask_id
    return masked, inside(lengths, tokens.shape[1])


def theirs(network, tokens):
    with torch.no_grad():
        return network(tokens, attention_mask=(tokens != network.config.pad_token_id).long()).logits


@pytest.mark.parametrize("dtype", list(TOLERANCE))
@pytest.mark.parametrize("name", NAMES)
def test_what_is_exported_has_the_same_logits(name, dtype):
    language = grammar_language()
    model = shaken(name, language, deviation=0.1, dtype=dtype)
    network, (tokens, keep), V = to_hugging_face(model), sentences(), language.vocab_size
    assert not network.training
    assert network.dtype == dtype
    expected, found = model(tokens)[keep].detach(), theirs(network, tokens)[keep]
    assert expected.std() > 0.3
    assert gap(found[:, :V], expected) <= TOLERANCE[dtype] * max(1.0, float(expected.abs().max()))
    assert (found.softmax(-1)[:, V:] == 0).all()
    assert torch.isfinite(found).all()


def test_padding_is_read_by_nobody():
    model = shaken("bert-post-2x16", grammar_language())
    network, (tokens, keep) = to_hugging_face(model), sentences()
    wider = torch.nn.functional.pad(tokens, (0, 1), value=model.pad_id)
    assert gap(theirs(network, wider)[:, :-1][keep], theirs(network, tokens)[keep]) < 1e-11
    unmasked = network(tokens).logits[:, :, : model.vocab_size]
    assert (unmasked[keep] - model(tokens)[keep]).abs().max() > 1e-3


@pytest.mark.parametrize("dtype", list(TOLERANCE))
@pytest.mark.parametrize("types", [1, 2])
def test_what_is_imported_has_the_same_logits(dtype, types):
    network = foreign(dtype, type_vocab_size=types)
    model = from_hugging_face(network)
    assert (model.name, model.vocab_size, model.max_length) == ("bert-post-2x64", 10, 8)
    language = demo_hmm()
    tokens = language.sample(20, generator(1)).tokens
    tokens[torch.arange(20), torch.arange(20) % 8] = language.mask_id
    tokens[:5, 6:] = language.pad_id
    expected = theirs(network, tokens)[tokens != language.pad_id][:, :10]
    assert expected.std() > 0.3
    assert gap(model(tokens)[tokens != language.pad_id], expected) <= TOLERANCE[dtype] * float(expected.abs().max())
    assert {m.p for m in model.modules() if isinstance(m, torch.nn.Dropout)} == {0.1}


@pytest.mark.parametrize(
    ("width", "heads", "name"),
    [
        (128, 2, "bert-post-2x128"),
        (64, 2, "bert-post-2x64:heads=2"),
        (64, 1, "bert-post-2x64"),
        (96, 1, "bert-post-2x96:heads=1"),
    ],
)
def test_the_network_keeps_its_heads(width, heads, name):
    network = foreign(hidden_size=width, num_attention_heads=heads, intermediate_size=4 * width)
    tokens = demo_hmm().sample(6, generator(1)).tokens
    model = from_hugging_face(network)
    assert model.name == name
    assert gap(model(tokens), theirs(network, tokens)[..., :10]) < 1e-10
    assert to_hugging_face(model).config.num_attention_heads == heads


def test_a_width_aware_model_has_the_same_logits_there():
    model, (tokens, keep) = shaken("bert-post-2x16:init=width-aware", grammar_language()), sentences()
    network = to_hugging_face(model)
    assert gap(theirs(network, tokens)[keep][:, : model.vocab_size], model(tokens)[keep]) < 1e-10
    assert from_hugging_face(network).name == "bert-post-2x16"


@pytest.mark.parametrize("name", NAMES)
def test_there_and_back_changes_no_bit(name):
    model = shaken(name, grammar_language(), dropout=0.25, dtype=torch.float32)
    for mode in (True, False):
        back = from_hugging_face(to_hugging_face(model.train(mode)))
        assert back.training == mode
        assert same_weights(back.state_dict(), model.state_dict())
    assert (back.name, back.vocab_size, back.max_length) == (name, model.vocab_size, model.max_length)
    assert {m.p for m in back.modules() if isinstance(m, torch.nn.Dropout)} == {0.25}


def test_both_ways_through_files(tmp_path):
    model, (tokens, keep) = shaken("bert-post-2x16", grammar_language(), dtype=torch.float32), sentences()
    to_hugging_face(model).save_pretrained(tmp_path / "theirs")
    assert sorted(path.name for path in (tmp_path / "theirs").iterdir()) == ["config.json", "model.safetensors"]
    network = transformers.BertForMaskedLM.from_pretrained(tmp_path / "theirs")
    assert (theirs(network, tokens)[keep].softmax(-1)[:, model.vocab_size :] == 0).all()
    (tmp_path / "ours").mkdir()
    save_model(from_hugging_face(network), tmp_path / "ours")
    loaded = load_model(tmp_path / "ours")
    assert same_weights(loaded.state_dict(), model.state_dict())
    assert torch.equal(loaded(tokens), model(tokens))


def test_conversion_copies_and_draws_nothing():
    model = shaken("bert-post-1x16", grammar_language())
    with untouched(model):
        network = to_hugging_face(model)
        back = from_hugging_face(network)
        with torch.no_grad():
            for parameter in [*network.parameters(), *back.parameters()]:
                parameter += 1


@pytest.mark.parametrize("name", ["bert-1x16", "lstm-1x8", "gpt-1x16", "lookup"])
def test_only_the_published_bert_is_exported(name):
    with pytest.raises(InputError, match=f"model '{name}': .*expected bert-post-LAYERSxWIDTH; use such") as raised:
        to_hugging_face(build_model(name, demo_hmm()))
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        (
            {"pad_token_id": 0},
            "pad_token_id is 0, expected 10 (the last three of the 13 tokens are padding, mask and [CLS])",
        ),
        ({"pad_token_id": None}, "pad_token_id is None, expected 10"),
        ({"mask_token_id": 12}, "mask_token_id is 12, expected 11"),
        ({"cls_token_id": 0}, "cls_token_id is 0, expected 12"),
        ({"hidden_act": "relu"}, "hidden_act is relu, expected gelu"),
        ({"hidden_act": "gelu_new"}, "hidden_act is gelu_new, expected gelu"),
        ({"intermediate_size": 128}, "intermediate_size is 128, expected 256"),
        ({"layer_norm_eps": 1e-5}, "layer_norm_eps is 1e-05, expected 1e-12"),
        ({"is_decoder": True}, "is_decoder is True, expected False"),
        ({"tie_word_embeddings": False}, "cls.predictions.decoder.weight differs from"),
    ],
)
def test_another_architecture_is_not_imported(changes, match):
    with pytest.raises(InputError, match=re.escape(match)) as raised:
        from_hugging_face(foreign(**changes))
    assert "\n" not in str(raised.value)


def test_another_class_is_not_imported():
    for network in (transformers.BertModel(config()), build_model("bert-post-1x16", demo_hmm())):
        with pytest.raises(InputError, match=f"network: a {type(network).__name__}, expected a BertForMaskedLM"):
            from_hugging_face(network)


# ---- the command


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """name of a model -> a run of 4 steps."""
    folder = tmp_path_factory.mktemp("runs")
    for name in ("bert-post-1x16", "bert-1x16"):
        line = f"train demo-hmm --out {folder / name} --model {name} --steps 4 --batch_size 8 --checkpoints [2] "
        assert cli.run(shlex.split(line + "--evaluate_every 2 --evaluation_sentences 20")) == 0
    return folder


def test_export_writes_a_directory_that_hugging_face_reads(runs, tmp_path, capsys):
    run, tokens = runs / "bert-post-1x16", demo_hmm().sample(5, generator(0)).tokens
    for options, step in (("", 4), ("--step 2", 2)):
        out = tmp_path / f"out-{step}"
        capsys.readouterr()
        for _ in range(2):
            assert cli.run(shlex.split(f"export {run} --out {out} {options}")) == 0
            captured = capsys.readouterr()
            assert json.loads(captured.out) == {"run": str(run), "step": step, "out": str(out)}
            assert without_hint(captured.err) == ""
        network = transformers.AutoModelForMaskedLM.from_pretrained(out)
        model = load_model(run / "checkpoints" / f"step-{step:08d}")
        assert gap(theirs(network, tokens)[..., :10], model(tokens)) < 1e-5
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out-2", "out-4"]


def test_export_refuses_what_it_cannot_do_and_writes_nothing(runs, tmp_path, refused):
    run = runs / "bert-post-1x16"
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes").write_text("mine")
    (tmp_path / "file").write_text("mine")
    assert cli.run(["export", str(run), "--out", str(tmp_path / "other"), "--step", "2"]) == 0
    for source, out, fragment in (
        (runs / "bert-1x16", "new", "expected bert-post-LAYERSxWIDTH"),
        (run, "full", "holds something else"),
        (run, "file", "expected a new or empty directory"),
        (run, "other", "holds something else"),
        (tmp_path / "nothing", "new", "no run here"),
    ):
        refused(["export", source, "--out", tmp_path / out], fragment)
