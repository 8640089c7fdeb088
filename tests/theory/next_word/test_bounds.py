"""Every inequality on hundreds of random finite languages, and that a wrong constant would be seen."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.finite_languages import random_finite, two_words

from satlab.errors import InputError
from satlab.theory.next_word import chain, probabilities, representations
from satlab.theory.next_word.log_partition import fit_quadratic, linear_fit, log_partition, second_cumulant
from satlab.theory.next_word.natural import Natural, natural
from satlab.theory.next_word.natural_classes import natural_classes
from satlab.theory.next_word.softmax import best_softmax, row_basis

BOUNDS = st.sampled_from([0.3, 2.0, 20.0])
SEEDS = st.integers(0, 10**6)


def all_links(finite, loss, bound):
    """Every chain for a loss that is 1-Lipschitz."""
    given = finite.truth, finite.eta, finite.task_weights, bound
    v = natural(loss, *given)
    yield from probabilities.unconstrained(finite, loss, v, bound)
    yield from probabilities.zero_one(finite, v)
    _, phi, bias = finite.head
    basis = row_basis(phi)
    best = best_softmax(basis, bias, finite.truth, finite.log_p)
    inside = natural(loss, *given, basis=basis)
    yield from representations.softmax(finite, loss, inside, bound, best)
    yield from representations.conditional_mean(finite, loss, inside, bound, best)
    yield from representations.features(finite, loss, inside, bound, best, second_cumulant(phi, bias))
    straight = linear_fit(finite.features, finite.p @ phi.T, finite.task_weights)
    yield from representations.features(finite, loss, inside, bound, best, straight, name="straight")
    yield from representations.quad(finite, loss, inside, bound)


def check_all(seed, bound, loss):
    links = list(all_links(random_finite(seed), loss, bound))
    assert [link.name for link in links if not link.holds] == []
    assert len(links) == 32


@settings(max_examples=30, deadline=None)
@given(seed=SEEDS, bound=BOUNDS, loss=st.sampled_from(["logistic", "hinge"]))
def test_no_inequality_is_ever_violated(seed, bound, loss):
    check_all(seed, bound, loss)


def test_the_best_model_may_have_probabilities_that_no_double_holds():
    """Near the boundary of the hull the logarithm still counts, below -745."""
    finite = random_finite(245263)
    _, phi, bias = finite.head
    best = best_softmax(row_basis(phi), bias, finite.truth, finite.log_p)
    assert float(best.p.min()) == 0.0
    assert -1e4 < float(best.log_p.min()) < -745
    check_all(245263, 0.3, "logistic")


@pytest.mark.slow
@settings(max_examples=400, deadline=None)
@given(seed=SEEDS, bound=BOUNDS, loss=st.sampled_from(["logistic", "hinge"]))
def test_no_inequality_is_violated_on_hundreds_of_languages(seed, bound, loss):
    check_all(seed, bound, loss)


@settings(max_examples=12, deadline=None)
@given(seed=SEEDS, bound=BOUNDS)
def test_the_square_loss_and_several_classes(seed, bound):
    finite = random_finite(seed)
    v = natural("square", finite.truth, finite.eta, finite.task_weights, bound)
    links = list(probabilities.squared(finite, v, bound))
    several = random_finite(seed, classes=4)
    scores = natural_classes(several.truth, several.posterior, several.task_weights, bound)
    links += probabilities.many_classes(several, scores.table, scores.intercepts, bound)
    assert [link.name for link in links if not link.holds] == []


@settings(max_examples=12, deadline=None)
@given(seed=SEEDS)
def test_any_other_v_obeys_them_too(seed):
    """The chain is a statement about every v, not about the minimiser."""
    finite = random_finite(seed)
    noise = torch.Generator().manual_seed(seed)
    v = torch.randn(finite.truth.shape[1], generator=noise, dtype=torch.float64)
    v = v - (v.max() + v.min()) / 2
    some = Natural(v, v, 0.3, 0.0, 0.0)
    links = probabilities.unconstrained(finite, "logistic", some, float(v.max()))
    assert [link.name for link in links if not link.holds] == []


def half_apart():
    """v = (-1/2, 1/2) without an intercept: on two equally likely words the hinge loss is linear around it."""
    v = torch.tensor([-0.5, 0.5], dtype=torch.float64)
    return Natural(v, v, 0.0, 1.0, 0.0)


def links_of_two_words(bound=0.5):
    finite, v = two_words(1e-3), half_apart()
    best = best_softmax(row_basis(finite.phi), finite.bias, finite.truth)
    links = [*probabilities.unconstrained(finite, "hinge", v, bound)]
    links += [*representations.softmax(finite, "hinge", v, bound, best)]
    links += [*representations.quad(finite, "hinge", v, bound)]
    return finite, {link.name: link for link in links}


def test_the_chain_is_tight_where_it_can_be_and_a_wrong_constant_is_caught(monkeypatch):
    """With two equally likely words and a small error Pinsker, Jensen and Hoelder are equations to second order."""
    finite, links = links_of_two_words()
    assert all(link.holds for link in links.values())
    bound = chain.bound_of(0.5, finite.epsilon, finite.gamma).value
    for start in ("unconstrained", "softmax"):
        assert 1 - 1e-5 < links[f"{start}: |excess| <= error"].left.value / bound <= 1
    tight = links["quad: refined bound <= bound"].right.value
    assert links["quad: |excess| <= error"].left.value == pytest.approx(tight, rel=1e-9)
    monkeypatch.setattr(chain, "PINSKER", 1.99)
    broken = {name for name, link in links_of_two_words()[1].items() if not link.holds}
    assert {f"{start}: that <= refined bound" for start in ("unconstrained", "softmax", "quad")} <= broken


def test_a_wrong_radius_is_caught():
    broken = [name for name, link in links_of_two_words(bound=0.49)[1].items() if not link.holds]
    assert broken == ["unconstrained: refined bound <= bound", "softmax: refined bound <= bound"]


@pytest.mark.parametrize("seed", range(12))
def test_gamma_of_the_errors_against_the_generalised_eigenvalue(seed):
    finite = random_finite(2 * seed + 1, contexts=12)
    errors = finite.p - finite.truth
    share, task = (w / w.sum() for w in (finite.weights, finite.task_weights))
    sigma_l, sigma_t = (errors.T @ (errors * w[:, None]) for w in (share, task))
    values, vectors = torch.linalg.eigh(sigma_l)
    kept = values > 1e-12 * values.max()
    root = vectors[:, kept] / values[kept].sqrt()
    expected = 1 / float(torch.linalg.eigvalsh(root.T @ sigma_t @ root).max())
    found = finite.gamma_of(errors)
    assert found.value == pytest.approx(expected, rel=1e-6)
    assert found.value >= finite.gamma.value * (1 - 1e-12)
    least = float((share / task.clamp(min=1e-300))[task > 0].min())
    assert finite.gamma.value == pytest.approx(least, rel=1e-12)


@pytest.mark.parametrize("seed", range(20))
def test_the_best_softmax_model_agrees_in_its_means(seed):
    finite = random_finite(seed, contexts=6)
    _, phi, bias = finite.head
    basis = row_basis(phi)
    best = best_softmax(basis, bias, finite.truth)
    assert float(((best.p - finite.truth) @ phi.T).abs().max()) < 1e-9
    assert best.disagreement < 1e-9
    # It is of the model's form: log p - b is in the span of Phi and constants.
    if basis.shape[1] < finite.truth.shape[1] - 1:
        log_ratio = best.log_p - bias
        centred = log_ratio - log_ratio.mean(1, keepdim=True)
        inside = centred @ basis @ basis.T
        assert float((centred - inside).abs().max()) < 1e-6 * (1 + float(centred.abs().max()))


def test_a_minimum_that_is_not_attained():
    """Truth on the boundary of the hull: the limit has the words off the face at probability 0."""
    phi = torch.tensor([[0.0, 1.0, 2.0, 1.0], [0.0, 0.0, 0.0, 1.0]], dtype=torch.float64)
    truth = torch.tensor([[0.25, 0.5, 0.25, 0.0]], dtype=torch.float64)
    best = best_softmax(row_basis(phi), torch.zeros(4, dtype=torch.float64), truth)
    third = torch.tensor([1 / 3, 1 / 3, 1 / 3, 0.0], dtype=torch.float64)
    assert float((best.p[0] - third).abs().max()) < 1e-9
    assert best.disagreement < 1e-9


def test_the_square_loss_is_refused_where_it_is_not_lipschitz():
    finite = random_finite(1)
    v = natural("square", finite.truth, finite.eta, finite.task_weights, 1.0)
    with pytest.raises(InputError, match="expected one that is 1-Lipschitz"):
        list(probabilities.unconstrained(finite, "square", v, 1.0))


@pytest.mark.parametrize("d", [1, 3])
def test_a_quadratic_is_fitted_exactly_and_its_gradient_is_linear(d):
    noise = torch.Generator().manual_seed(d)

    def draw(*shape):
        return torch.randn(*shape, generator=noise, dtype=torch.float64)

    matrix = draw(d, d)
    matrix = matrix + matrix.T
    slope, f = draw(d), draw(60, d) * 3 + 1
    values = ((f @ matrix) * f).sum(1) / 2 + f @ slope + 0.7
    form = fit_quadratic(f, values, torch.ones(60))
    assert float((form.matrix - matrix).abs().max()) < 1e-9
    assert float((form.slope - slope).abs().max()) < 1e-9
    assert form.constant == pytest.approx(0.7, abs=1e-8)
    assert float((form.value(f) - values).abs().max()) < 1e-9
    assert float((form.gradient(f) - (f @ matrix + slope)).abs().max()) < 1e-9


def test_the_second_cumulant_is_the_expansion_at_zero():
    noise = torch.Generator().manual_seed(0)
    phi = torch.randn(3, 7, generator=noise, dtype=torch.float64)
    bias = torch.randn(7, generator=noise, dtype=torch.float64)
    form = second_cumulant(phi, bias)
    zero = torch.zeros(3, dtype=torch.float64)
    gradient = torch.func.grad(lambda f: log_partition(f[None], phi, bias)[0])(zero)
    hessian = torch.func.hessian(lambda f: log_partition(f[None], phi, bias)[0])(zero)
    assert float((form.slope - gradient).abs().max()) < 1e-12
    assert float((form.matrix - hessian).abs().max()) < 1e-12
    assert form.constant == pytest.approx(float(log_partition(zero[None], phi, bias)), abs=1e-12)


def test_too_few_contexts_for_a_quadratic_form():
    with pytest.raises(InputError, match="9 contexts for the 10 numbers of a quadratic form of 3 features"):
        fit_quadratic(torch.ones(9, 3), torch.ones(9), torch.ones(9))
