"""Names with settings: what they parse to, their canonical form, and what each setting does to the network."""

import json
import math
import re

import pytest
import torch
from support.networks import demo_hmm, gap, grammar_language, padded_sentences, same_weights, shaken

from satlab.errors import InputError
from satlab.flatness import hessian_trace
from satlab.models import build_model, default_masking, load_model, save_model
from satlab.models.build import make_model
from satlab.models.ladder import count_parameters
from satlab.models.names import canonical_name, name_of, network_of
from satlab.models.networks.base import SizedNetwork, networks
from satlab.models.networks.bert import BertNetwork
from satlab.models.networks.gpt import GptNetwork
from satlab.models.networks.lookup import LookupNetwork
from satlab.models.networks.lstm import LstmNetwork
from satlab.models.widen import check_larger, widen

CANONICAL = {
    "bert-2x128": "bert-2x128",
    "bert-2x128:heads=2": "bert-2x128",
    "bert-2x48:heads=1": "bert-2x48",
    "bert-2x96:heads=1": "bert-2x96:heads=1",
    "bert-2x128:heads=null,init=published,initial_deviation=0.02": "bert-2x128",
    "bert-2x128: initial_deviation = 5e-2, heads=4": "bert-2x128:heads=4,initial_deviation=0.05",
    "gpt-1x64:init=width-aware": "gpt-1x64:init=width-aware",
    "lstm-1x8:initial_deviation=1.0": "lstm-1x8:initial_deviation=1.0",
    "lookup": "lookup",
}


@pytest.mark.parametrize("name", list(CANONICAL))
def test_a_name_has_one_canonical_form(name):
    canonical = canonical_name(name)
    assert canonical == CANONICAL[name]
    assert network_of(canonical) == network_of(name)
    assert build_model(name, demo_hmm()).name == canonical


def test_names_and_networks_are_the_same_thing():
    assert network_of("bert-2x128:heads=4") == BertNetwork(2, 128, heads=4)
    assert name_of(GptNetwork(3, 64, initial_deviation=0.1)) == "gpt-3x64:initial_deviation=0.1"
    assert network_of("lookup") == LookupNetwork()
    assert name_of(LstmNetwork(1, 8)) == "lstm-1x8"
    assert list(networks) == ["bert", "bert-post", "brackets-attention", "gpt", "lookup", "lstm", "lstm-residual"]


WRONG = {
    "bert-2x64:head=2": "model 'bert-2x64:head=2': unknown setting 'head': did you mean 'heads'?",
    "bert-2x64:heads=5": "heads is 5, expected a divisor of the width 64",
    "bert-2x64:heads=0": "heads is 0, expected at least 1",
    "bert-2x64:heads=two": "setting 'heads' is 'two', expected null or an integer",
    "bert-2x64:init=wide": "unknown init 'wide': did you mean 'width-aware'",
    "gpt-2x64:initial_deviation=0": "initial_deviation is 0.0, expected a positive number",
    "bert-2x64:layers=3": "setting 'layers' belongs in the name, bert-LAYERSxWIDTH",
    "bert-2x64:": "ends after the colon",
    "lstm-2x64:heads=2": "unknown setting 'heads'",
    "lookup:heads=2": "has no settings, but 'heads' is given",
    "bert:heads=2": "expected bert-LAYERSxWIDTH, for example bert-2x64",
    "bert-2x96": "or set heads to a divisor of 96",
}


@pytest.mark.parametrize("name", list(WRONG))
def test_a_wrong_setting_is_refused_in_one_line(name):
    with pytest.raises(InputError, match=re.escape(WRONG[name])):
        build_model(name, demo_hmm())


@pytest.mark.parametrize(
    ("layers", "width", "said"), [(0, 16, "layers is 0, expected at least 1"), (1, 0, "width is 0, expected at least")]
)
def test_a_network_without_a_size_is_refused_from_python_too(layers, width, said):
    for network in (BertNetwork, LstmNetwork):
        with pytest.raises(InputError, match=said):
            network(layers, width)


@pytest.mark.parametrize("kind", ["bert", "bert-post", "gpt"])
def test_heads_share_the_width(kind):
    language = demo_hmm()
    plain, several = build_model(f"{kind}-1x32", language), build_model(f"{kind}-1x32:heads=4", language)
    assert plain.blocks[0].attention.heads == 1
    assert several.blocks[0].attention.heads == 4
    assert same_weights(plain.state_dict(), several.state_dict())
    assert count_parameters(several.name, 10, 8) == count_parameters(plain.name, 10, 8)
    tokens = several.whole(language.sample(4, torch.Generator().manual_seed(0)).tokens)
    one = shaken(f"{kind}-1x32", language)
    other = shaken(f"{kind}-1x32:heads=4", language)
    assert gap(one(tokens), other(tokens)) > 1e-3


def deviations(name):
    """parameter -> empirical deviation of the initial weights of a model."""
    return {n: float(p.detach().std()) for n, p in build_model(name, demo_hmm()).named_parameters() if p.dim() > 1}


@pytest.mark.parametrize("kind", ["bert", "bert-post", "gpt"])
def test_the_initial_deviation_is_that_of_all_weights(kind):
    for found in deviations(f"{kind}-1x64:initial_deviation=0.1").values():
        assert found == pytest.approx(0.1, rel=0.15)


@pytest.mark.parametrize("kind", ["lstm", "lstm-residual"])
def test_the_initial_deviation_of_an_lstm_is_that_of_its_embedding(kind):
    plain, other = deviations(f"{kind}-1x64"), deviations(f"{kind}-1x64:initial_deviation=0.1")
    assert {name for name in plain if plain[name] != other[name]} == {"words.embedding.weight"}
    assert other["words.embedding.weight"] == pytest.approx(0.1, rel=0.1)


@pytest.mark.parametrize("kind", ["bert", "bert-post", "gpt"])
def test_the_width_aware_initialisation_scales_matrices_and_output(kind):
    """Table 8 of Yang et al. 2022, with width 64 as the base."""
    language = demo_hmm()
    for width in (16, 256):
        aware, plain = (build_model(f"{kind}-1x{width}{more}", language) for more in (":init=width-aware", ""))
        for (name, p), (_, q) in zip(aware.named_parameters(), plain.named_parameters(), strict=True):
            hidden = name.startswith(("blocks", "transform.dense")) and p.dim() == 2
            assert gap(p, q * (math.sqrt(64 / width) if hidden else 1.0)) < 1e-6, name
        with torch.no_grad():
            for parameter, other in zip(aware.parameters(), plain.parameters(), strict=True):
                other.copy_(parameter)
            plain.words.bias.normal_(generator=torch.Generator().manual_seed(1))
            aware.words.bias.copy_(plain.words.bias)
        tokens = aware.whole(language.sample(4, torch.Generator().manual_seed(0)).tokens)
        bias = plain.words.bias
        assert gap(aware(tokens) - bias, (plain(tokens) - bias) * 64 / width) < 1e-4
    assert same_weights(
        build_model(f"{kind}-1x64:init=width-aware", language).state_dict(),
        build_model(f"{kind}-1x64", language).state_dict(),
    )


@pytest.mark.parametrize("kind", ["bert", "gpt", "bert-post"])
def test_the_trace_of_a_width_aware_network_is_that_of_its_plain_gradients(kind):
    """The recorded pass, which does without whole gradients, sees the multiplier of the output."""
    language = demo_hmm()
    sentences = language.sample(30, torch.Generator().manual_seed(0), latents=False)
    name, masking = f"{kind}-1x16:init=width-aware", "next" if kind == "gpt" else "one"
    model = shaken(name, language)

    class Opaque(type(model)):
        def features(self, tokens):
            return super().features(tokens) + 0 * self.position.sum()

        def features_at(self, tokens, rows, positions):
            return super().features_at(tokens, rows, positions) + 0 * self.position.sum()

    for method in ("sampled-gradient", "gauss-newton", "random-factor"):
        recorded = hessian_trace(model, sentences, masking=masking, method=method, language=language)
        model.__class__ = Opaque
        plain = hessian_trace(model, sentences, masking=masking, method=method, language=language)
        model.__class__ = Opaque.__base__
        # Contexts draw their random factors in another order there.
        errors = 4 * math.hypot(recorded.stderr, plain.stderr) if method == "random-factor" else 0.0
        assert recorded.value == pytest.approx(plain.value, rel=1e-9, abs=errors), method


NAMES = ["bert-1x16:heads=2", "gpt-1x16:init=width-aware", "lstm-1x8:initial_deviation=0.1"]


@pytest.mark.parametrize("name", NAMES)
def test_settings_survive_a_checkpoint(name, tmp_path):
    language = grammar_language()
    model = shaken(name, language, dtype=torch.float32)
    save_model(model, tmp_path)
    assert json.loads((tmp_path / "model.json").read_text())["name"] == name
    loaded, (tokens, _) = load_model(tmp_path), padded_sentences(language)
    assert (loaded.name, type(loaded)) == (name, type(model))
    assert torch.equal(loaded(loaded.whole(tokens)), model(model.whole(tokens)))
    assert default_masking(name) == ("next" if name.startswith("gpt") else "one")


ENLARGED = [
    ("bert-1x32:heads=2", "bert-2x64:heads=4"),
    ("bert-1x16", "bert-1x32:heads=1"),
    ("bert-1x96:heads=1", "bert-1x192:heads=1"),
    ("bert-1x16:init=width-aware", "bert-2x48:init=width-aware"),
    ("bert-1x16:init=width-aware", "bert-2x128"),
    ("bert-post-1x16", "bert-post-1x48:init=width-aware"),
    ("gpt-1x16:init=width-aware", "gpt-2x128:init=width-aware"),
    ("lstm-1x8:initial_deviation=0.1", "lstm-1x16"),
]


@pytest.mark.parametrize(("small", "large"), ENLARGED)
def test_models_with_settings_can_be_enlarged(small, large):
    language = grammar_language()
    model, (tokens, _) = shaken(small, language), padded_sentences(language)
    wide = widen(model, large, "initial")
    assert wide.name == canonical_name(large)
    read, r = model.whole(tokens), wide.feature_size // model.feature_size
    keep = read != language.pad_id
    assert model(read)[keep].std() > 0.1
    assert gap(wide(read)[keep], model(read)[keep]) < 1e-10
    assert gap(wide.features(read)[keep], torch.cat([model.features(read)] * r, 2)[keep] / r) < 1e-10


REFUSED = {
    ("bert-2x64:heads=4", "bert-2x128"): "4 heads 16 wide do not fit into 2 heads 64 wide; "
    "nearest that works: bert-2x128:heads=8",
    ("bert-2x64", "bert-2x128:heads=4"): "1 head 64 wide does not fit into 4 heads 32 wide",
    ("bert-2x64:init=width-aware", "bert-2x100"): "nearest that works: bert-2x128:init=width-aware",
    ("bert-2x64", "bert-2x128:heads=5"): "heads is 5, expected a divisor of the width 128",
}


@pytest.mark.parametrize(("small", "large"), REFUSED)
def test_heads_that_do_not_fit_are_refused(small, large):
    with pytest.raises(InputError, match=re.escape(REFUSED[small, large])):
        check_larger(small, large)


def test_a_registered_network_is_built_by_its_name():
    with pytest.raises(InputError, match="model 'lookup' is the language itself"):
        make_model("lookup", 10, 8)
    without = ("lookup", "brackets-attention")
    assert all(issubclass(entry, SizedNetwork) for kind, entry in networks.items() if kind not in without)
