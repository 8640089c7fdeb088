"""Section 6: formulas against plain differentiation, the bound and its equality, the solutions and their transfer."""

import itertools
import math

import pytest
import torch
from support.networks import demo_hmm

from satlab.errors import InputError
from satlab.generators.families.brackets import BalancedBrackets
from satlab.models import build_model
from satlab.models.names import network_of
from satlab.theory.brackets import (
    Brackets,
    LabelNoise,
    Penalty,
    Weights,
    attention,
    averaging,
    by_label_noise,
    by_penalty,
    expected_error,
    features,
    few_shot,
    loss,
    neurons_of,
    output,
    position_specific,
    random_features,
    success_probability,
    trace,
    weights_of,
    with_dead_neurons,
)
from satlab.train.objectives import objectives


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def drawn(length, neurons, seed=0):
    """One network of normal weights."""
    source = generator(seed)
    shapes = [(1, neurons, 2 * length)] * 3 + [(1, neurons)]
    return Weights(*(torch.randn(*shape, generator=source, dtype=torch.float64) for shape in shapes))


def plain(parts, x):
    """f of one sentence [T, 2 T], term by term as the paper writes it."""
    query, key, value, out = parts
    scores = torch.stack([(query @ x[0]) @ (key @ word) for word in x])
    a = scores.exp() / scores.exp().sum()
    z = sum(share * word for share, word in zip(a, x, strict=True))
    return out @ (value @ z).relu()


def solutions(length):
    brackets = Brackets(length)
    return {
        "averaging": averaging(brackets),
        "averaging, 6 neurons": averaging(brackets, 6),
        "averaging, mask": averaging(brackets, 4, 0.6),
        "dead neurons": with_dead_neurons(averaging(brackets), 4, generator(1)),
        "position-specific": position_specific(brackets, generator(2)),
        "position-specific, far": position_specific(brackets, generator(2), size=5.0),
        "random": random_features(brackets, max(40 * length, 2 * len(brackets.masked)), generator(3)),
    }


@pytest.mark.parametrize("length", [2, 4, 6])
def test_sentences_are_all_those_of_the_definition(length):
    brackets = Brackets(length)
    expected = []
    for signs in itertools.product([1, -1], repeat=length):
        for masked in range(length):
            if sum(signs) == 0:
                words = [[0] * (2 * length) for _ in range(length)]
                for i, sign in enumerate(signs):
                    words[i][length + i if i == masked else i] = 1 if i == masked else sign
                expected.append((signs[masked], words))
    found = [(int(y), x.int().tolist()) for x, y in zip(brackets.masked, brackets.targets, strict=True)]
    assert sorted(found) == sorted(expected)
    assert len(found) == math.comb(length, length // 2) * length
    assert torch.equal(brackets.targets, -brackets.masked[:, :, :length].sum((1, 2)))
    assert torch.equal(brackets.mismatches, brackets.downstream.sum((1, 2)))
    assert float(brackets.mismatches.square().mean()) == length


def test_the_network_is_the_papers():
    brackets, weights = Brackets(4), drawn(4, 3)
    parts = [part[0] for part in weights.parts]
    for number in (0, 5, 23):
        x = brackets.masked[number]
        assert float(output(weights, x[None])) == pytest.approx(float(plain(parts, x)), rel=1e-12)


def test_the_trace_is_the_mean_squared_norm_of_the_gradient():
    brackets, weights = Brackets(4), drawn(4, 3)
    parts = [part[0].clone().requires_grad_() for part in weights.parts]
    expected = torch.zeros(4, dtype=torch.float64)
    for x in brackets.masked:
        gradients = torch.autograd.grad(plain(parts, x), parts)
        expected += torch.stack([g.square().sum() for g in gradients]) / len(brackets.masked)
    found = trace(weights, brackets.masked)
    terms = torch.stack([found.query, found.key, found.value, found.out])[:, 0]
    assert torch.allclose(terms, expected, rtol=1e-10)


def test_a_model_of_the_lab_is_that_network():
    language = BalancedBrackets(6)
    model = build_model("brackets-attention:neurons=5", language).double()
    brackets = Brackets(6)
    words = torch.where(brackets.valid > 0, 0, 1).repeat_interleave(6, 0)
    masked = torch.eye(6, dtype=torch.bool).repeat(len(brackets.valid), 1)
    tokens = words.masked_fill(masked, model.mask_id)
    assert torch.equal(model.encoded(tokens), brackets.masked)
    logits = model(tokens)[masked]
    expected = output(weights_of(model), brackets.masked)[0]
    assert torch.allclose(logits[:, 0] - logits[:, 1], expected, atol=1e-12)
    objective = objectives["squared"]().loss(logits, words[masked], None)
    plain_loss = loss(weights_of(model), brackets.masked, brackets.targets)
    assert float(objective) / len(logits) == pytest.approx(float(plain_loss), rel=1e-12)
    assert sum(p.numel() for p in model.parameters()) == network_of(model.name).count(2, 6).total
    with pytest.raises(InputError, match="expected 2; use the language brackets"):
        build_model("brackets-attention", demo_hmm())
    with pytest.raises(InputError, match="the model predicts 3"):
        objectives["squared"]().loss(torch.zeros(2, 3), torch.zeros(2, dtype=torch.long), None)


@pytest.mark.parametrize("name", ["averaging", "position-specific", "dead neurons"])
def test_the_hessian_has_that_trace_where_the_loss_is_zero(name):
    brackets, weights = Brackets(4), solutions(4)[name]
    shapes = [part.shape for part in weights.parts]
    sizes = [part.numel() for part in weights.parts]

    def of(flat):
        parts = [part.view(shape) for part, shape in zip(flat.split(sizes), shapes, strict=True)]
        return loss(Weights(*parts), brackets.masked, brackets.targets)[0]

    point = torch.cat([part.flatten() for part in weights.parts])
    total = float(torch.autograd.functional.hessian(of, point).trace())
    assert total == pytest.approx(float(trace(weights, brackets.masked).total), rel=1e-9)
    assert total == pytest.approx(2 / math.sqrt(4), rel=1e-9)


@pytest.mark.parametrize("length", [4, 6, 8])
def test_all_solutions_predict_every_masked_bracket_and_none_is_below_the_bound(length):
    brackets = Brackets(length)
    for name, weights in solutions(length).items():
        assert float(loss(weights, brackets.masked, brackets.targets)) < 1e-15, name
        share = float(trace(weights, brackets.masked).total) / brackets.least_trace
        if name == "random":
            assert 2 < share < 20
        else:
            assert share == pytest.approx(1, abs=1e-12), name


def test_dead_neurons_are_silent_on_masked_sentences_alone():
    brackets = Brackets(6)
    weights = with_dead_neurons(averaging(brackets), 4, generator())
    assert float(features(weights, brackets.masked)[0, :, 2:].max()) == 0
    assert float(features(weights, brackets.downstream)[0, :, 2:].max()) > 0
    assert float(attention(weights, brackets.masked).std()) < 1e-15


@pytest.mark.parametrize(("length", "neurons", "mask"), [(4, 2, 0.0), (6, 6, -0.5), (8, 2, 0.9)])
def test_the_averaging_network_transfers_as_often_as_both_signs_occur(length, neurons, mask):
    brackets, draws = Brackets(length), 2000
    for sentences in (3, 10):
        expected = success_probability(length, sentences)
        found = few_shot(averaging(brackets, neurons, mask), brackets, sentences, draws, generator(4))
        assert abs(found.success.value - expected) < 4 * math.sqrt(expected * (1 - expected) / draws)
        assert abs(found.error.value - expected_error(length, sentences)) < 4 * found.error.stderr


def test_the_probability_of_success_is_that_of_enumeration():
    signs = Brackets(4).mismatches.sign().tolist()
    for sentences in (1, 2, 3):
        both = [{1.0, -1.0} <= set(chosen) for chosen in itertools.product(signs, repeat=sentences)]
        assert success_probability(4, sentences) == pytest.approx(sum(both) / len(both), abs=1e-15)
        # A sign that was not seen is half of E g^2.
        missed = [1 - len({1.0, -1.0} & set(chosen)) / 2 for chosen in itertools.product(signs, repeat=sentences)]
        assert expected_error(4, sentences) == pytest.approx(sum(missed) / len(missed), abs=1e-15)
    assert [round(success_probability(t, 10), 3) for t in (4, 6, 8)] == [0.953, 0.970, 0.978]


@pytest.mark.parametrize("length", [4, 6])
def test_the_counter_examples_do_not_transfer(length):
    brackets = Brackets(length)
    few = {name: few_shot(one, brackets, 10, 300, generator(5)) for name, one in solutions(length).items()}
    assert few["averaging"].success.value > 0.9
    for name in ("position-specific", "random"):
        assert few[name].success.value < 0.02, name
        assert few[name].error.value > 0.02, name
    large = with_dead_neurons(averaging(brackets), 24, generator(1), size=3.0)
    spoilt = few_shot(large, brackets, 10, 300, generator(5))
    assert spoilt.success.value < 0.1
    assert spoilt.error.value > 0.02
    alive = large.neurons(torch.arange(26) < 2)
    assert few_shot(alive, brackets, 10, 300, generator(5)) == few["averaging"]


def test_neurons_are_told_apart():
    brackets = Brackets(4)
    expected = {
        "averaging, 6 neurons": (6, 6, 0, 0),
        "averaging, mask": (4, 4, 0, 0),
        "dead neurons": (2, 2, 0, 4),
        "position-specific, far": (8, 0, 8, 0),
    }
    for name, counts in expected.items():
        kinds = neurons_of(solutions(4)[name], brackets)
        found = (kinds.alive, kinds.averaging, kinds.position_specific, kinds.dead)
        assert tuple(int(kind.sum()) for kind in found) == counts, name


@pytest.mark.parametrize("decay", [0.0, 1e-2])
def test_a_penalty_lowers_the_trace_at_a_small_loss(decay):
    brackets, search = Brackets(4), Penalty(neurons=6, networks=2, steps=150, lr=0.08, weight_decay=decay)
    found = by_penalty(brackets, search, generator())
    assert float(loss(found, brackets.masked, brackets.targets).max()) < 1e-2
    assert float(trace(found, brackets.masked).total.max()) < 1.5 * brackets.least_trace


def test_label_noise_lowers_the_trace_and_its_absence_does_not():
    """From one start at loss zero: noise moves along the minimum, in its clock; without it SGD stands still."""
    brackets = Brackets(4)
    settings = {"neurons": 6, "networks": 4, "steps": 3000}
    loud = by_label_noise(brackets, LabelNoise(**settings, noise=1.0), generator(3))
    quiet = by_label_noise(brackets, LabelNoise(**settings, noise=1e-6), generator(3))
    for found in (loud, quiet):
        assert float(loss(found, brackets.masked, brackets.targets).max()) < 2e-2
    share = trace(loud, brackets.masked).total / trace(quiet, brackets.masked).total
    assert float(share.max()) < 0.85


@pytest.mark.parametrize("length", [4, 6])
def test_a_step_is_that_of_differentiation(length):
    settings = {"neurons": 5, "networks": 2, "deviation": 1.0, "steps": 1, "batch": 2, "weight_decay": 0.5}
    brackets, search = Brackets(length), LabelNoise(**settings)
    parts = [part[1].requires_grad_() for part in search.drawn(brackets, generator(1)).parts]
    source = generator(1)
    search.drawn(brackets, source)
    chosen = torch.randint(len(brackets.masked), (1, 2, 2), generator=source)[0, 1]
    noise = torch.randn(1, 2, 2, generator=source, dtype=torch.float64)[0, 1]
    total = sum(
        (plain(parts, brackets.masked[i]) - brackets.targets[i] - e) ** 2 / 4
        for i, e in zip(chosen, noise, strict=True)
    )
    total = total + 0.25 * sum(part.square().sum() for part in parts)
    found = by_label_noise(brackets, search, generator(1))
    for one, part, slope in zip(found.parts, parts, torch.autograd.grad(total, parts), strict=True):
        assert torch.allclose(one[1], part - 0.1 * slope, rtol=1e-10, atol=1e-13)


def test_sgd_that_leaves_all_bounds_is_said():
    with pytest.raises(InputError, match="left all bounds; give a smaller lr"):
        by_label_noise(Brackets(4), LabelNoise(neurons=8, steps=200, lr=50.0), generator())


def test_networks_are_searched_side_by_side_and_apart():
    brackets, search = Brackets(4), Penalty(neurons=4, networks=2, steps=3)
    both = by_penalty(brackets, search, generator())
    assert float((both.out[0] - both.out[1]).abs().max()) > 0.01

    class Second(Penalty):
        def drawn(self, brackets, generator):
            return search.drawn(brackets, generator).one(1)

    alone = by_penalty(brackets, Second(neurons=4, networks=2, steps=3), generator())
    assert torch.allclose(alone.out[0], both.out[1], rtol=1e-12)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Brackets(5), "length is 5, expected an even number"),
        (lambda: Brackets(14), "length is 14, expected an even number from 2 to 12"),
        (lambda: averaging(Brackets(4), 3), "neurons is 3, expected an even number"),
        (lambda: averaging(Brackets(4), 2, -1.0), "mask is -1.0, expected a number above -1"),
        (lambda: random_features(Brackets(4), 4, generator()), "4 random neurons miss a masked bracket"),
        (lambda: Penalty(lr=0), "lr is 0, expected a positive number"),
        (lambda: Penalty(weight_decay=-1), "weight_decay is -1, expected a number from 0 on"),
        (lambda: Penalty(steps=0), "steps is 0, expected at least 1"),
        (lambda: Penalty(networks=0), "networks is 0, expected at least 1"),
        (lambda: LabelNoise(noise=0), "noise is 0, expected a positive number"),
        (lambda: LabelNoise(batch=0), "batch is 0, expected at least 1"),
    ],
)
def test_wrong_settings_are_refused(make, said):
    with pytest.raises(InputError, match=said):
        make()
