"""Sentences and batches of them: taken apart, put together, masked; special tokens."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from satlab.generators import load_language
from satlab.generators.sentences import Batch, Sentences
from satlab.generators.vocabulary import CLS, MASK, PAD, SPECIAL_TOKENS
from satlab.models import build_model

places = st.lists(st.lists(st.booleans(), min_size=3, max_size=3), min_size=1, max_size=7)


def batch_of(hidden):
    hidden = torch.tensor(hidden)
    tokens = torch.arange(hidden.numel()).reshape(hidden.shape)
    return Sentences(tokens, torch.full((len(hidden),), 3)).mask(hidden, 99)


def asked(batch):
    """What is asked for, with the whole sentence: (input tokens, position, target) of each prediction."""
    rows = batch.inputs[batch.rows].tolist()
    return [(tuple(row), int(t), int(w)) for row, t, w in zip(rows, batch.positions, batch.targets, strict=True)]


@settings(deadline=None)
@given(places, st.data())
def test_selected_sentences_are_asked_for_the_same_words(hidden, data):
    batch = batch_of(hidden)
    n = len(hidden)
    begin, end, step = (data.draw(st.integers(low, n + 1)) for low in (0, 0, 1))
    chosen = data.draw(st.permutations(range(n)).flatmap(lambda order: st.integers(0, n).map(lambda k: order[:k])))
    for rows in (slice(begin, end, step), torch.tensor(chosen, dtype=torch.long)):
        part, which = batch.select(rows)
        assert torch.equal(part.inputs, batch.inputs[rows])
        assert asked(part) == [asked(batch)[i] for i in which]
        numbers = torch.arange(n)[rows].tolist()
        assert which.tolist() == [i for i, row in enumerate(batch.rows.tolist()) if row in numbers]
        assert [numbers[row] for row in part.rows.tolist()] == batch.rows[which].tolist()


@settings(deadline=None)
@given(places, st.integers(1, 4))
def test_what_is_taken_apart_joins_to_the_same(hidden, size):
    batch = batch_of(hidden)
    parts = [batch.select(slice(begin, begin + size))[0] for begin in range(0, len(hidden), size)]
    for name in ("inputs", "rows", "positions", "targets"):
        assert torch.equal(getattr(Batch.join(parts), name), getattr(batch, name))


def test_sentences_split_with_their_latents():
    sentences = Sentences(torch.arange(10).reshape(5, 2), torch.full((5,), 2), {"states": torch.arange(5)})
    assert [(part.tokens[:, 0].tolist(), part.latents["states"].tolist()) for part in sentences.split(2)] == [
        ([0, 2], [0, 1]),
        ([4, 6], [2, 3]),
        ([8], [4]),
    ]


def test_languages_and_models_agree_on_the_tokens_that_are_no_words():
    language = load_language("demo-hmm")
    model, V = build_model("bert-1x8", language), language.vocab_size
    for has in (language, model):
        assert (has.pad_id, has.mask_id, has.cls_id) == (V + PAD, V + MASK, V + CLS) == (V, V + 1, V + 2)
    assert model.words.embedding.num_embeddings == V + SPECIAL_TOKENS
