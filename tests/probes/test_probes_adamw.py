"""The published probe against the same training by torch's own loop, and the Gaussian projection."""

import pytest
import torch
from support.labelled import FIRST_WORD, OneHot
from support.networks import demo_hmm, gap, shaken
from support.words import generator

from satlab.errors import InputError
from satlab.probes import (
    AdamW,
    Extraction,
    FeatureChoice,
    FeatureStorage,
    Samples,
    concatenated_features,
    frozen_probes,
    linear_probe,
)
from satlab.probes.feature_store import Features
from satlab.probes.features import extract
from satlab.probes.projection import HEAD, GaussianProjection
from satlab.randomness import random_stream


def problem(n=70, d=9, k=4, dtype=torch.float64):
    source = generator(0)
    x = torch.randn(n, d, generator=source, dtype=torch.float64) * torch.linspace(0.1, 3, d) + 0.5
    labels = (x @ torch.randn(d, k, generator=source, dtype=torch.float64)).argmax(1)
    return x.to(dtype), labels


def stored(x, storage=None):
    features = Features(len(x), storage)
    features.append(x)
    return features


def by_torch(x, labels, k, how, seed, repeat):
    """The same head by torch's layer, loss, autograd and its plain optimiser; the draws as documented."""
    source = random_stream(seed, "probe", repeat, HEAD)
    bound = x.shape[1] ** -0.5
    table = (2 * torch.rand(k, x.shape[1] + 1, generator=source, dtype=torch.float64) - 1) * bound
    layer = torch.nn.Linear(x.shape[1], k, dtype=x.dtype)
    with torch.no_grad():
        layer.weight.copy_(table[:, :-1])
        layer.bias.copy_(table[:, -1])
    start = layer.weight.detach().clone()
    optimizer = torch.optim.AdamW(layer.parameters(), lr=how.lr, foreach=False)
    for _ in range(how.epochs):
        order = torch.randperm(len(x), generator=source)
        for rows in order.split(how.batch_size):
            loss = torch.nn.functional.cross_entropy(layer(x[rows]), labels[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return layer, start


@pytest.mark.parametrize("on_disk", [False, True])
@pytest.mark.parametrize(("seed", "repeat"), [(0, 0), (5, 2)])
def test_the_head_is_that_of_torchs_own_training(on_disk, seed, repeat):
    x, labels = problem()
    how = AdamW(lr=3e-3, epochs=6, batch_size=16)
    expected, start = by_torch(x, labels, 4, how, seed, repeat)
    head = how.fit(stored(x, FeatureStorage(None, 0) if on_disk else None), labels, 4, seed, repeat)
    assert gap(head.weight, expected.weight) < 1e-10
    assert gap(head.bias, expected.bias) < 1e-10
    assert gap(start, expected.weight) > 1e-2
    assert torch.equal(head.predict(x), expected(x).argmax(1))


def test_defaults_are_the_published_ones():
    assert (AdamW().lr, AdamW().epochs) == (1e-3, 100)


def test_float32_and_bf16_stay_near_float64():
    x, labels = problem()
    how = AdamW(lr=1e-2, epochs=10, batch_size=32)
    exact = how.fit(stored(x), labels, 4)
    single, half = (how.fit(stored(x.to(dtype)), labels, 4) for dtype in (torch.float32, torch.bfloat16))
    assert single.weight.dtype == half.weight.dtype == torch.float32
    assert gap(single.weight.double(), exact.weight) < 1e-4
    assert 0 < gap(half.weight.double(), exact.weight) < 0.05


def test_what_is_linear_is_learned_and_the_optimum_reads_the_same_sentences(record):
    recorder = record(demo_hmm())
    model, how = OneHot(recorder), AdamW(lr=1e-2, epochs=100)
    settings = {"train_sentences": 800, "test_sentences": 300, "seeds": 2}
    learned = linear_probe(model, recorder, FIRST_WORD, **settings, method=how)
    assert learned.value > 0.99
    assert (learned.n, learned.l2) == (2, ())
    both = frozen_probes(model, recorder, FIRST_WORD, {"a": how}, samples=Samples(**settings))
    assert both["a", FeatureChoice()] == learned
    linear_probe(model, recorder, FIRST_WORD, **settings)
    drawn = [sentences.tokens for sentences in recorder.drawn]
    assert all(torch.equal(drawn[i], drawn[i % 2]) for i in range(6))


def test_weights_that_do_not_stay_finite_are_an_error():
    x, labels = problem()
    with pytest.raises(InputError, match=r"lr is 1e\+300: the probe's weights became infinite; give a smaller lr"):
        AdamW(lr=1e300, epochs=3).fit(stored(x), labels, 4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"lr": 0.0}, "lr is 0.0, expected a positive number"),
        ({"lr": float("nan")}, "lr is nan"),
        ({"epochs": 0}, "epochs is 0, expected at least 1"),
        ({"batch_size": -1}, "batch_size is -1"),
    ],
)
def test_a_number_that_cannot_be_is_refused(change, message):
    with pytest.raises(InputError, match=message):
        AdamW(**change)


# ---- the projection


def test_a_projection_keeps_squared_lengths_in_the_mean():
    """||x P||^2 over 600 independent P: mean and spread of ||x||^2 chi^2_e / e."""
    x = torch.randn(1, 7, generator=generator(3), dtype=torch.float64)
    lengths = torch.stack([GaussianProjection(4, seed)(x).square().sum() for seed in range(600)]) / x.square().sum()
    assert abs(float(lengths.mean()) - 1) < 4 * (2 / 4 / 600) ** 0.5
    assert float(lengths.std()) == pytest.approx(0.5**0.5, rel=0.15)


def test_a_projection_is_a_function_of_seed_repeat_and_width():
    x = torch.eye(5, dtype=torch.float64)
    one = GaussianProjection(3, 1, 2)
    assert torch.equal(one(x), GaussianProjection(3, 1, 2)(x))
    assert not torch.equal(one(x), GaussianProjection(3, 2, 2)(x))
    assert not torch.equal(one(x), GaussianProjection(3, 1, 3)(x))
    assert not torch.equal(one(x)[:4], one(torch.eye(4, dtype=torch.float64)))
    assert one(x).shape == (5, 3)


def test_projected_features_are_extracted_and_probed(monkeypatch):
    language = demo_hmm()
    model = shaken("bert-1x16", language)
    sentences = language.sample(40, generator(0))
    project = GaussianProjection(10, 0)
    found = extract(model, sentences, [FeatureChoice()], FeatureStorage(), "float32", project)[FeatureChoice()]
    assert gap(found.memory, concatenated_features(model, sentences) @ project.matrices[128]) < 1e-12
    wide = linear_probe(model, language, FIRST_WORD, 600, 300, 2, extraction=Extraction(projection=100))
    narrow = linear_probe(model, language, FIRST_WORD, 600, 300, 2, extraction=Extraction(projection=2))
    assert narrow.value + 0.2 < wide.value


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"projection": 0}, "projection is 0"),
        ({"precision": "fp8"}, "precision is 'fp8', expected one of float32, bf16"),
    ],
)
def test_what_cannot_be_kept_is_refused(change, message):
    with pytest.raises(InputError, match=message):
        Extraction(**change)
