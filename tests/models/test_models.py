"""The interface of every masked language model: shapes, gathered positions, padding, special tokens, tied output."""

import pytest
import torch
from support.networks import NETWORKS, demo_hmm, gap, grammar_language, inside, padded_sentences, shaken
from support.words import generator

from satlab.generators.batches import evaluation_set
from satlab.models import build_model
from satlab.train import kl_to_truth

TOLERANCE = {torch.float32: 1e-6, torch.float64: 1e-12}

GATHERS = {
    "one a row": (range(12), [0] * 12),
    "several a row": ([0, 0, 3, 3, 3, 11], [0, 0, 0, 0, 0, 0]),
    "as many as rows, but from few": ([0] * 6 + [5] * 6, [0] * 12),
    "as many as rows, in reverse": (range(11, -1, -1), [0] * 12),
    "more than rows": ([r for r in range(12) for _ in range(3)], [0] * 36),
    "a single one": ([7], [0]),
    "none": ([], []),
}
"""name -> (rows, positions); the positions are replaced by random ones inside the sentences."""


def gathered(name, lengths):
    rows = torch.tensor(list(GATHERS[name][0]), dtype=torch.long)
    uniform = torch.rand(len(rows), generator=generator(1), dtype=torch.float64)
    return rows, (uniform * lengths[rows]).long()


@pytest.mark.parametrize("name", NETWORKS)
def test_shapes(name):
    language = grammar_language()
    model, (tokens, _) = shaken(name, language, dtype=torch.float32), padded_sentences(language)
    n, T = tokens.shape
    assert (model.name, model.vocab_size, model.max_length) == (name, language.vocab_size, language.max_length)
    assert (model.pad_id, model.mask_id) == (language.pad_id, language.mask_id)
    assert model.feature_size == int(name.split("x")[1])
    assert model.features(tokens).shape == (n, T, model.feature_size)
    assert model(tokens).shape == (n, T, language.vocab_size)
    assert model(tokens).dtype == torch.float32
    assert model.features_at(tokens, torch.tensor([1, 1]), torch.tensor([0, 0])).shape == (2, model.feature_size)
    assert model.logits_at(tokens, torch.tensor([1, 1]), torch.tensor([0, 0])).shape == (2, language.vocab_size)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("gather", list(GATHERS))
@pytest.mark.parametrize("name", NETWORKS)
def test_gathered_positions_are_those_of_the_full_pass(name, gather, dtype):
    language = grammar_language()
    model, (tokens, lengths) = shaken(name, language, dtype=dtype, deviation=0.2), padded_sentences(language)
    rows, positions = gathered(gather, lengths)
    expected = model(tokens)[rows, positions]
    found = model.logits_at(tokens, rows, positions)
    assert found.shape == (len(rows), language.vocab_size)
    bound = TOLERANCE[dtype] * max(1.0, float(model.features(tokens).detach().abs().max()))
    assert gap(found, expected) <= bound
    assert gap(model.features_at(tokens, rows, positions), model.features(tokens)[rows, positions]) <= bound


@pytest.mark.parametrize("name", NETWORKS)
def test_gradients_of_gathered_positions_are_those_of_the_full_pass(name):
    language = grammar_language()
    model, (tokens, lengths) = shaken(name, language), padded_sentences(language)
    rows, positions = gathered("several a row", lengths)
    weights = torch.randn(len(rows), language.vocab_size, generator=generator(2), dtype=torch.float64)
    parameters = list(model.parameters())
    full = torch.autograd.grad((weights * model(tokens)[rows, positions]).sum(), parameters)
    found = torch.autograd.grad((weights * model.logits_at(tokens, rows, positions)).sum(), parameters)
    for one, other in zip(full, found, strict=True):
        assert gap(one, other) <= 1e-11 * max(1.0, float(one.abs().max()))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", NETWORKS)
def test_a_sentence_is_read_the_same_alone_and_among_others_and_with_any_padding(name, dtype):
    language = grammar_language()
    model, (tokens, lengths) = shaken(name, language, dtype=dtype, deviation=0.2), padded_sentences(language)
    together = model.features(tokens)
    wider = torch.cat([tokens, torch.full((len(tokens), 1), language.pad_id)], 1)
    wide = model.features(wider)[:, :-1]
    assert torch.isfinite(wide).all()
    bound = 10 * TOLERANCE[dtype]
    assert ((wide - together) * inside(lengths, tokens.shape[1])[..., None]).abs().max() < bound
    for row, length in enumerate(lengths.tolist()):
        alone = model.features(tokens[row : row + 1, :length])[0]
        assert (alone - together[row, :length]).abs().max() < bound


@pytest.mark.parametrize("name", NETWORKS)
def test_what_stands_in_other_rows_has_no_influence(name):
    language = grammar_language()
    model, (tokens, lengths) = shaken(name, language), padded_sentences(language)
    others, _ = padded_sentences(language, seed=8)
    before = model.features(tokens)[4, : lengths[4]]
    changed = others.clone()
    changed[4] = tokens[4]
    assert not torch.equal(changed, tokens)
    assert (model.features(changed)[4, : lengths[4]] - before).abs().max() < 1e-12
    order = torch.randperm(len(tokens), generator=generator(0))
    shuffled = model.features(tokens[order])
    keep = inside(lengths, tokens.shape[1])[order]
    assert (shuffled - model.features(tokens)[order])[keep].abs().max() < 1e-12


@pytest.mark.parametrize("name", NETWORKS)
def test_the_embedding_of_padding_has_no_influence(name):
    language = grammar_language()
    model, (tokens, lengths) = shaken(name, language), padded_sentences(language)
    keep = inside(lengths, tokens.shape[1])
    before = model(tokens)[keep]
    with torch.no_grad():
        model.words.embedding.weight[language.pad_id] += 5
        model.words.embedding.weight[language.vocab_size + 2] += 5
    assert (model(tokens)[keep] - before).abs().max() < 1e-12


@pytest.mark.parametrize(("layers", "between"), [(1, 0.0), (2, 0.3), (3, 0.3)])
def test_dropout_of_an_lstm_is_between_its_layers(layers, between):
    assert build_model(f"lstm-{layers}x8", demo_hmm(), dropout=0.3).lstm.dropout == between


@pytest.mark.parametrize("name", NETWORKS)
def test_order_and_every_visible_word_matter(name):
    language = demo_hmm()
    model = shaken(name, language)
    tokens = torch.tensor([[3, 1, 4, 1, language.mask_id, 9, 2, 6]])
    where = (torch.tensor([0]), torch.tensor([4]))
    before = model.logits_at(tokens, *where)
    swapped = tokens[:, [0, 5, 2, 3, 4, 1, 6, 7]]
    assert (model.logits_at(swapped, *where) - before).abs().max() > 1e-3
    for position in (0, 1, 2, 3, 5, 6, 7):
        other = tokens.clone()
        other[0, position] = 8
        assert (model.logits_at(other, *where) - before).abs().max() > 1e-4, position


@pytest.mark.parametrize("name", NETWORKS)
def test_the_mask_is_a_word_of_its_own(name):
    language = demo_hmm()
    model = shaken(name, language)
    tokens = torch.tensor([[3, 1, 4, 1, language.mask_id, 9, 2, 6]])
    where = (torch.tensor([0]), torch.tensor([4]))
    before = model.logits_at(tokens, *where)
    with torch.no_grad():
        model.words.embedding.weight[language.mask_id, :4] += 1
    assert (model.logits_at(tokens, *where) - before).abs().max() > 1e-3
    unmasked = tokens.masked_fill(tokens == language.mask_id, 5)
    changed = model.logits_at(unmasked, *where)
    with torch.no_grad():
        model.words.embedding.weight[language.mask_id, :4] -= 1
    assert torch.equal(model.logits_at(unmasked, *where), changed)


@pytest.mark.parametrize("name", NETWORKS)
def test_output_is_tied_to_the_embedding(name):
    language = demo_hmm()
    model, V = shaken(name, language), language.vocab_size
    tokens = torch.tensor([[3, 1, 4, 1, language.mask_id, 9, 2, 6]])
    features, before = model.features(tokens), model(tokens)
    with torch.no_grad():
        model.words.embedding.weight[8] += 0.5
    change = model(tokens) - before
    assert (change[..., 8] - 0.5 * features.sum(-1)).abs().max() < 1e-12
    assert change[..., [v for v in range(V) if v != 8]].abs().max() < 1e-12
    assert change[..., 8].abs().max() > 0.1


@pytest.mark.parametrize("name", NETWORKS)
def test_every_number_of_the_model_is_one_parameter_once(name):
    language = demo_hmm()
    model = build_model(name, language)
    parameters = dict(model.named_parameters())
    storages = {p.data_ptr(): p.numel() for p in model.parameters()}
    assert len(storages) == len(parameters)
    assert parameters.keys() == model.state_dict().keys()
    words = [n for n, p in parameters.items() if p.shape[0] in (language.vocab_size, language.vocab_size + 3)]
    assert sorted(parameters[n].dim() for n in words) == [1, 2]
    assert all(p.requires_grad for p in model.parameters())


def test_the_published_bert_has_its_eps_and_its_head_transform():
    language = grammar_language()
    post, pre = build_model("bert-post-2x16", language), build_model("bert-2x16", language)
    for model, eps, count in ((post, 1e-12, 6), (pre, 1e-5, 5)):
        assert [m.eps for m in model.modules() if isinstance(m, torch.nn.LayerNorm)] == [eps] * count
    added = {name: p.shape for name, p in post.named_parameters() if name not in dict(pre.named_parameters())}
    vector = (16,)
    dense = {"transform.dense.weight": (16, 16), "transform.dense.bias": vector}
    assert added == dense | {"transform.norm.weight": vector, "transform.norm.bias": vector}


def test_features_of_the_published_bert_are_what_its_logits_are_linear_in():
    language = grammar_language()
    model, (tokens, lengths) = shaken("bert-post-2x16", language), padded_sentences(language)
    keep, heard = inside(lengths, tokens.shape[1]), []
    model.transform.register_forward_hook(lambda module, given, out: heard.append(out))
    features, rows = model.features(tokens), torch.arange(len(tokens))
    assert torch.equal(features, heard[0])
    assert gap(model.features_at(tokens, rows, lengths - 1), features[rows, lengths - 1]) < 1e-12
    assert heard[1].shape == (len(tokens), 16)
    words = model.words.embedding.weight[: language.vocab_size]
    assert gap(model(tokens)[keep], features[keep] @ words.T + model.words.bias) < 1e-12


@pytest.mark.parametrize("make", [demo_hmm, grammar_language])
@pytest.mark.parametrize("masking", ["one", "bernoulli:0.4"])
def test_the_lookup_table_is_the_truth(make, masking):
    language = make()
    model, held_out = build_model("lookup", language), evaluation_set(language, 64, 1, masking)
    batch = held_out.batch
    hidden = batch.inputs == language.mask_id
    lengths = (batch.inputs != language.pad_id).sum(1)
    assert torch.equal(model.features(batch.inputs), language.conditional(batch.inputs, lengths, hidden))
    at_hidden = model.features_at(batch.inputs, batch.rows, batch.positions)
    torch.testing.assert_close(at_hidden, held_out.truth, rtol=1e-13, atol=0)
    assert torch.equal(model.logits_at(batch.inputs, batch.rows, batch.positions).exp() > 0, held_out.truth > 0)
    assert model(batch.inputs).shape == (*batch.inputs.shape, language.vocab_size)
    assert model.feature_size == language.vocab_size
    kl = kl_to_truth(model, held_out)
    assert abs(kl.value) < 1e-14
    assert kl.stderr < 1e-14


def test_the_lookup_table_leaves_the_word_itself_out_of_its_features():
    language = demo_hmm()
    model = build_model("lookup", language)
    tokens = language.sample(6, generator(0)).tokens
    masked = tokens.clone()
    masked[:, 3] = language.mask_id
    assert (model.features(tokens)[:, 3] - model.features(masked)[:, 3]).abs().max() < 1e-14
    assert (model.features(tokens)[:, 2] - model.features(masked)[:, 2]).abs().max() > 1e-3
