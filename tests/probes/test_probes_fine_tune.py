"""Fine-tuning on [CLS] against torch's own loop; the model that is given stays as it is."""

import pytest
import torch
from support.labelled import FIRST_WORD, Labelled
from support.networks import demo_hmm, gap, grammar_language, padded_sentences, shaken
from support.untouched import untouched
from support.words import generator

from satlab.errors import InputError
from satlab.generators import Sentences
from satlab.models import build_model
from satlab.probes import FineTuning, fine_tune, linear_probe
from satlab.probes.fine_tune import SentenceClassifier, tuned

NAMES = ("bert-2x16", "bert-post-1x16", "lstm-1x16", "lstm-residual-2x8", "gpt-1x16")


def classified(classifier, tokens, lengths):
    """Logits of each sentence by itself, its [CLS] put there by hand; of a causal model at the last word."""
    model = classifier.model
    rows = []
    for row, length in zip(tokens, lengths.tolist(), strict=True):
        read = torch.cat([torch.tensor([model.cls_id]), row[:length]])[None]
        feature = model.features(read)[0, length if model.causal else 0]
        rows.append(classifier.weight @ feature + classifier.bias)
    return torch.stack(rows)


@pytest.mark.parametrize("name", NAMES)
def test_the_head_is_on_cls_or_on_the_last_word(name):
    language = grammar_language()
    tokens, lengths = padded_sentences(language)
    classifier = SentenceClassifier(shaken(name, language), 3, generator(0))
    assert gap(classifier(tokens, lengths), classified(classifier, tokens, lengths)) < 1e-12
    assert classifier(tokens, lengths).shape == (len(tokens), 3)


@pytest.mark.parametrize("name", ["bert-2x16", "bert-post-1x16", "gpt-1x16"])
def test_words_keep_the_positions_they_were_trained_at(name):
    """Without what [CLS] adds, word t reads as it does in the model itself; [CLS] has the row that no word reads."""
    language = grammar_language()
    model = shaken(name, language)
    copied = SentenceClassifier(model, 3, generator(0)).model
    own, given = copied.position, model.position
    assert own.shape == (language.max_length + 1, 16)
    if model.causal:
        assert torch.equal(own, given)
    else:
        assert torch.equal(own[1:], given[:-1])
        assert torch.equal(own[0], given[-1])
    longest = language.sample(200, generator(0)).tokens
    assert longest.shape[1] == language.max_length
    before = model(longest)
    with torch.no_grad():
        model.position[-1] += 1
    if not model.causal:
        assert torch.equal(model(longest), before)


@pytest.mark.parametrize("name", NAMES)
def test_the_longest_sentences_have_room_for_cls(name):
    language = demo_hmm()
    sentences = language.sample(5, generator(0))
    assert sentences.tokens.shape[1] == language.max_length
    assert (
        SentenceClassifier(shaken(name, language), 2, generator(0))(sentences.tokens, sentences.lengths)
        .isfinite()
        .all()
    )


def test_training_is_that_of_torchs_own_loop():
    """The same heads, orders and rates by plain AdamW and autograd through a plain forward pass."""
    language = grammar_language()
    model, (tokens, lengths) = shaken("bert-1x16", language, deviation=0.1), padded_sentences(language)
    labels = lengths % 3
    how = FineTuning(lr=1e-3, epochs=3, batch_size=5, warmup_steps=4)
    found = tuned(model, Sentences(tokens, lengths), labels, 3, how, seed=2, repeat=1)
    source = source_of(2, 1)
    other = SentenceClassifier(model, 3, source)
    optimizer = torch.optim.AdamW(other.parameters(), lr=1.0, foreach=False)
    rates = [1e-3 * share for share in (0.25, 0.5, 0.75, 1.0, 5 / 6, 4 / 6, 3 / 6, 2 / 6, 1 / 6)]
    for _ in range(3):
        for rows in torch.randperm(12, generator=source).split(5):
            optimizer.param_groups[0]["lr"] = rates.pop(0)
            loss = torch.nn.functional.cross_entropy(classified(other, tokens[rows], lengths[rows]), labels[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    assert rates == []
    for name, weight in other.named_parameters():
        assert gap(weight, dict(found.named_parameters())[name]) < 1e-8, name


def source_of(seed, repeat):
    from satlab.probes.projection import TUNING
    from satlab.randomness import random_stream

    return random_stream(seed, "probe", repeat, TUNING)


def test_the_published_rates():
    how = FineTuning()
    assert (how.lr, how.epochs, how.warmup_steps) == (1e-4, 10, 200)
    assert how.rate(1, 1000) == pytest.approx(1e-4 / 200)
    assert how.rate(200, 1000) == 1e-4
    assert how.rate(201, 1000) == pytest.approx(1e-4 * 800 / 801)
    assert how.rate(1000, 1000) == pytest.approx(1e-4 / 801)
    assert how.rate(100, 100) == pytest.approx(0.5e-4)


@pytest.mark.parametrize("name", ["bert-1x16", "lstm-1x16", "gpt-1x16"])
def test_the_given_model_and_the_random_state_stay_as_they_are(name):
    language = demo_hmm()
    model = shaken(name, language, dropout=0.2, dtype=torch.float32)
    how = FineTuning(lr=1e-3, epochs=1, batch_size=20, warmup_steps=2)
    with untouched(model):
        one = fine_tune(model, language, FIRST_WORD, 60, 50, 2, how=how)
    assert not model.training
    torch.manual_seed(9)
    assert fine_tune(model, language, FIRST_WORD, 60, 50, 2, how=how) == one
    assert one.n == 2


def test_what_no_linear_probe_reads_is_learned(record):
    """An untrained model learns whether the first two words differ in parity, on the sentences of the probes."""
    recorder = record(demo_hmm())
    task = Labelled(2, lambda s: (s.tokens[:, 0] + s.tokens[:, 1]) % 2)
    model = build_model("bert-1x32", recorder.language)
    how = FineTuning(lr=3e-3, epochs=25, batch_size=50, warmup_steps=20)
    learned = fine_tune(model, recorder, task, 1500, 400, 1, how=how)
    probed = linear_probe(model, recorder, task, 1500, 400, 1)
    assert torch.equal(recorder.drawn[0].tokens, recorder.drawn[1].tokens)
    assert learned.value > 0.8 > probed.value


def test_the_look_up_table_has_nothing_to_tune():
    language = demo_hmm()
    with pytest.raises(InputError, match="model 'lookup' has no weights to fine-tune"):
        fine_tune(build_model("lookup", language), language, FIRST_WORD, 20, 20, 1)


def test_training_that_diverges_is_an_error():
    language = demo_hmm()
    how = FineTuning(lr=1e30, epochs=3, batch_size=10, warmup_steps=1)
    with pytest.raises(InputError, match=r"lr is 1e\+30: fine-tuning diverged; give a smaller lr"):
        fine_tune(shaken("bert-1x16", language, dtype=torch.float32), language, FIRST_WORD, 60, 20, 1, how=how)


@pytest.mark.parametrize("change", [{"train_sentences": 0}, {"test_sentences": -1}, {"seeds": 0}])
def test_a_number_that_cannot_be_is_refused(change):
    language = demo_hmm()
    with pytest.raises(InputError, match=f"{next(iter(change))} is"):
        fine_tune(shaken("bert-1x16", language), language, FIRST_WORD, **change)
