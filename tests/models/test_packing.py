"""Sentences without their padding: the same features, losses and gradients as with it."""

import pytest
import torch
from support.networks import demo_hmm, gap, grammar_language, shaken
from torch.nn import functional

from satlab.generators.batches import Stream
from satlab.models.ops.packing import Packing
from satlab.train import TrainConfig, masked_loss
from satlab.train.parallel.world import World
from satlab.train.step import Stepper

INSIDE = torch.tensor([[True, True, False], [True, True, True], [True, False, False]])


def test_packing_keeps_the_words_in_order():
    rows, positions = torch.tensor([2, 0, 1, 1]), torch.tensor([0, 1, 2, 0])
    for inside in (INSIDE, INSIDE.repeat(40, 5)):
        packing, x = Packing(inside), torch.randn(*inside.shape, 2)
        packed = packing.pack(x)
        assert torch.equal(packed[packing.number(*inside.nonzero().T)], x[inside])
        assert torch.equal(packed[packing.number(rows, positions)], x[rows, positions])
        assert torch.equal(packing.unpack(packed)[inside], x[inside])


@pytest.mark.parametrize(("words", "kept"), [(1, 64), (64, 64), (65, 128), (150, 150), (200, 200)])
def test_so_much_of_the_padding_is_packed_that_the_number_of_rows_recurs(words, kept):
    inside = (torch.randperm(200 if words == 200 else 150) < words).reshape(10, -1)
    packing, x = Packing(inside), torch.randn(*inside.shape, 2)
    packed = packing.pack(x)
    assert len(packed) == kept
    whole = packing.unpack(packed)
    assert torch.equal(whole[inside], x[inside])
    assert bool(((whole == 0) | (whole == x)).all())


def assert_packing_changes_nothing(model, batch):
    """Logits and gradients are those without it, up to rounding."""
    found = []
    for packs in (False, True):
        model.packs = packs
        model.zero_grad()
        masked_loss(model, batch).backward()
        found.append((model.logits_at(batch.inputs, batch.rows, batch.positions), [p.grad for p in model.parameters()]))
    assert gap(*(logits for logits, _ in found)) < 1e-12
    for one, other in zip(*(gradients for _, gradients in found), strict=True):
        assert gap(one, other) < 1e-12


@pytest.mark.parametrize("masking", ["one", "bernoulli:0.4"])
@pytest.mark.parametrize("name", ["bert-1x16", "bert-3x16", "bert-post-2x16", "bert-2x128"])
def test_losses_and_gradients_are_those_with_padding(name, masking):
    language = grammar_language()
    model, batch = shaken(name, language), Stream(language, 40, 1, masking).batch(1)
    assert bool((batch.inputs == model.pad_id).any())
    assert_packing_changes_nothing(model, batch)


@pytest.mark.parametrize("masking", ["one", "bernoulli:0.4"])
@pytest.mark.parametrize("name", ["bert-1x16", "bert-3x16", "bert-post-2x16", "bert-2x128"])
def test_where_nothing_is_padded_attention_has_no_mask_and_the_logits_are_the_same(name, masking, monkeypatch):
    language, attend, masks = demo_hmm(), functional.scaled_dot_product_attention, []
    model, batch = shaken(name, language), Stream(language, 40, 1, masking).batch(1)

    def noting(*parts, attn_mask, **how):
        masks.append(attn_mask)
        return attend(*parts, attn_mask=attn_mask, **how)

    monkeypatch.setattr(functional, "scaled_dot_product_attention", noting)
    assert_packing_changes_nothing(model, batch)
    calls = 2 * len(model.blocks)
    assert [mask is None for mask in masks] == [False] * calls + [True] * calls


@pytest.mark.parametrize("compiled", [False, True])
def test_training_on_a_cpu_packs_unless_it_is_compiled_and_says_so_to_nobody_else(compiled):
    language, config = grammar_language(), TrainConfig(batch_size=8, compile=compiled)
    model = shaken("bert-1x16", language)
    assert not model.packs
    stream = Stream(language, config.batch_size, 0)
    stepper = Stepper(model, config.optimizer_entry.build(model), stream, config, None, World())
    if not compiled:
        stepper(1)
    assert model.packs == (not compiled)


@pytest.mark.parametrize("rows", [[0, 0, 2], [2, 1, 0], [1, 1, 1]])
def test_as_many_predictions_as_sentences_need_not_be_one_of_each(rows):
    language = grammar_language()
    model, batch = shaken("bert-1x16", language), Stream(language, 3, 1).batch(1)
    rows, positions = torch.tensor(rows), torch.tensor([0, 1, 0])
    expected = model.logits_at(batch.inputs, rows, positions)
    model.packs = True
    assert gap(model.logits_at(batch.inputs, rows, positions), expected) < 1e-12
