"""The networks against plain formulas with the same weights: einsum and softmax, and an LSTM cell by cell."""

import math

import pytest
import torch
from support.networks import demo_hmm, gap, grammar_language, inside, padded_sentences, shaken

HEAD = 64


def linear(weights, name, x):
    return torch.einsum("...i,oi->...o", x, weights[f"{name}.weight"]) + weights[f"{name}.bias"]


def layer_norm(weights, name, x, eps):
    centred = x - x.mean(-1, keepdim=True)
    scaled = centred / (centred.square().mean(-1, keepdim=True) + eps).sqrt()
    return scaled * weights[f"{name}.weight"] + weights[f"{name}.bias"]


def gelu(x):
    return 0.5 * x * (1 + torch.erf(x / math.sqrt(2)))


def attention(weights, name, x, visible, heads):
    """visible [n, T], or [n, T, T]: which positions each one reads."""
    n, T, d = x.shape
    query, key, value = (linear(weights, f"{name}.{p}", x).reshape(n, T, heads, -1) for p in ("query", "key", "value"))
    scores = torch.einsum("nshc,nthc->nhst", query, key) / math.sqrt(d // heads)
    visible = visible[:, None, None, :] if visible.dim() == 2 else visible[:, None]
    scores = scores.masked_fill(~visible, -math.inf)
    mixed = torch.einsum("nhst,nthc->nshc", scores.softmax(-1), value).reshape(n, T, d)
    return linear(weights, f"{name}.out", mixed)


def bert_reference(weights, tokens, pad_id, layers, heads, pre, transform=None):
    """(features, logits) of an encoder with these weights; pre-LN or post-LN as in the module's two formulas.

    transform: whether the head's comes last, as it does in post-LN unless given.
    """
    x, eps = encoder_reference(weights, tokens, tokens != pad_id, layers, heads, pre), 1e-5 if pre else 1e-12
    if pre:
        x = layer_norm(weights, "norm", x, eps)
    if transform or (transform is None and not pre):
        x = layer_norm(weights, "transform.norm", gelu(linear(weights, "transform.dense", x)), eps)
    return x, predict(weights, x, pad_id)


def gpt_reference(weights, tokens, pad_id, layers, heads):
    """(features, logits) of a decoder with these weights: position t reads 0 .. t, and the end is one more class."""
    earlier = torch.ones(tokens.shape[1], tokens.shape[1], dtype=torch.bool).tril().expand(len(tokens), -1, -1)
    features = layer_norm(weights, "norm", encoder_reference(weights, tokens, earlier, layers, heads, True), 1e-5)
    return features, predict(weights, features, pad_id + 1)


def encoder_reference(weights, tokens, visible, layers, heads, pre):
    """What the last layer gives."""
    x, eps = weights["words.embedding.weight"][tokens] + weights["position"][: tokens.shape[1]], 1e-5 if pre else 1e-12
    x = x if pre else layer_norm(weights, "norm", x, eps)
    for i in range(layers):
        name = f"blocks.{i}"

        def mlp(x, name=name):
            return linear(weights, f"{name}.down", gelu(linear(weights, f"{name}.up", x)))

        if pre:
            read = layer_norm(weights, f"{name}.attention_norm", x, eps)
            x = x + attention(weights, f"{name}.attention", read, visible, heads)
            x = x + mlp(layer_norm(weights, f"{name}.mlp_norm", x, eps))
        else:
            mixed = attention(weights, f"{name}.attention", x, visible, heads)
            x = layer_norm(weights, f"{name}.attention_norm", x + mixed, eps)
            x = layer_norm(weights, f"{name}.mlp_norm", x + mlp(x), eps)
    return x


def predict(weights, features, vocab_size):
    return (
        torch.einsum("...d,vd->...v", features, weights["words.embedding.weight"][:vocab_size]) + weights["words.bias"]
    )


def lstm_direction(weights, suffix, xs):
    """The hidden states [T, d] of one direction over xs [T, d_in], in the order given."""
    width = weights[f"lstm.weight_hh_{suffix}"].shape[1]
    h, c, out = torch.zeros(width).to(xs), torch.zeros(width).to(xs), []
    for x in xs:
        gates = weights[f"lstm.weight_ih_{suffix}"] @ x + weights[f"lstm.bias_ih_{suffix}"]
        gates = gates + weights[f"lstm.weight_hh_{suffix}"] @ h + weights[f"lstm.bias_hh_{suffix}"]
        enter, forget, candidate, leave = gates.reshape(4, width)
        c = torch.sigmoid(forget) * c + torch.sigmoid(enter) * torch.tanh(candidate)
        h = torch.sigmoid(leave) * torch.tanh(c)
        out.append(h)
    return torch.stack(out)


def lstm_reference(weights, tokens, layers):
    """The features [T, d] of one sentence without padding."""
    x = weights["words.embedding.weight"][tokens]
    for i in range(layers):
        forward = lstm_direction(weights, f"l{i}", x)
        backward = lstm_direction(weights, f"l{i}_reverse", x.flip(0)).flip(0)
        x = torch.cat([forward, backward], 1)
    return linear(weights, "join", x)


BERTS = [
    ("bert-1x16", 1, 1, True),
    ("bert-2x16", 2, 1, True),
    ("bert-3x128", 3, 2, True),
    ("bert-post-1x16", 1, 1, False),
    ("bert-post-2x16", 2, 1, False),
    ("bert-post-2x192", 2, 3, False),
]


def deviation(name):
    """Noise that keeps the entries of attention and of the logits of order one."""
    return 0.4 if name.endswith("16") else 0.1


@pytest.mark.parametrize(("name", "layers", "heads", "pre"), BERTS)
def test_bert_is_its_formula(name, layers, heads, pre):
    language = grammar_language()
    model = shaken(name, language, deviation=deviation(name))
    tokens, lengths = padded_sentences(language)
    masked = tokens.clone()
    masked[:, 0] = language.mask_id
    features, logits = bert_reference(model.state_dict(), masked, language.pad_id, layers, heads, pre)
    keep = inside(lengths, tokens.shape[1])
    assert features[keep].std() > 0.3
    assert gap(model.features(masked)[keep], features[keep]) < 1e-10
    assert gap(model(masked)[keep], logits[keep]) < 1e-10
    rows = torch.arange(len(tokens))
    assert gap(model.logits_at(masked, rows, lengths - 1), logits[rows, lengths - 1]) < 1e-10


@pytest.mark.parametrize(("name", "layers", "heads", "pre"), BERTS)
def test_the_formula_tells_the_variants_apart(name, layers, heads, pre):
    """Another number of heads, another place of the norm, one layer less or no head transform is seen."""
    language = demo_hmm()
    model = shaken(name, language, deviation=deviation(name))
    tokens = torch.tensor([[3, 1, 4, 1, language.mask_id, 9, 2, 6]])
    features = model.features(tokens)
    others = [(layers, heads, not pre, not pre), (layers, 2 * heads, pre), (layers - 1, heads, pre)]
    others += [] if pre else [(layers, heads, pre, False)]
    for other in others:
        assert gap(features, bert_reference(model.state_dict(), tokens, language.pad_id, *other)[0]) > 1e-3


@pytest.mark.parametrize(("name", "layers", "heads"), [("gpt-1x16", 1, 1), ("gpt-2x16", 2, 1), ("gpt-3x128", 3, 2)])
def test_gpt_is_its_formula(name, layers, heads):
    language = grammar_language()
    model = shaken(name, language, deviation=deviation(name))
    tokens, lengths = padded_sentences(language)
    read = model.whole(tokens)
    features, logits = gpt_reference(model.state_dict(), read, language.pad_id, layers, heads)
    keep = inside(lengths + 1, read.shape[1])
    assert features[keep].std() > 0.3
    assert logits.shape == (*read.shape, language.vocab_size + 1)
    assert gap(model.features(read)[keep], features[keep]) < 1e-10
    assert gap(model(read)[keep], logits[keep]) < 1e-10
    rows = torch.arange(len(tokens))
    assert gap(model.logits_at(read, rows, lengths), logits[rows, lengths]) < 1e-10
    others = [(layers, 2 * heads), (layers - 1, heads)]
    for other in others:
        assert gap(features, gpt_reference(model.state_dict(), read, language.pad_id, *other)[0]) > 1e-3
    both_sides = encoder_reference(model.state_dict(), read, read != language.pad_id, layers, heads, True)
    assert gap(features[keep], layer_norm(model.state_dict(), "norm", both_sides, 1e-5)[keep]) > 1e-3


@pytest.mark.parametrize(("name", "layers"), [("lstm-1x16", 1), ("lstm-2x8", 2), ("lstm-3x5", 3)])
@pytest.mark.parametrize("make", [grammar_language, demo_hmm])
def test_lstm_is_its_cells(name, layers, make):
    language = make()
    model = shaken(name, language)
    if language.length_log_prob.isfinite().sum() > 1:
        tokens, lengths = padded_sentences(language)
    else:
        tokens, lengths = torch.tensor([[3, 1, 4, 1, 5, 9, 2, 6], [2, 7, 1, 8, 2, 8, 1, 8]]), torch.tensor([8, 8])
    masked = tokens.clone()
    masked[:, 0] = language.mask_id
    features, logits, weights = model.features(masked), model(masked), model.state_dict()
    for row, length in enumerate(lengths.tolist()):
        expected = lstm_reference(weights, masked[row, :length], layers)
        assert expected.std() > 0.1
        assert gap(features[row, :length], expected) < 1e-10
        assert gap(logits[row, :length], predict(weights, expected, language.vocab_size)) < 1e-10


def test_widths_are_cut_into_heads_of_64():
    language = demo_hmm()
    for width, heads in ((5, 1), (64, 1), (128, 2), (320, 5)):
        model = shaken(f"bert-1x{width}", language)
        assert model.blocks[0].attention.heads == heads == max(1, width // HEAD)
