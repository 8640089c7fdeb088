"""The limit ODE and SGD beside it: closed forms, enumeration, and the factor that is refused."""

import math
import warnings

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.networks import shaken, tiny_hmm

from satlab.errors import InputError
from satlab.estimate import Estimate
from satlab.generators.batches import make_batch
from satlab.theory.bartlett import gradient_covariance
from satlab.theory.drift import deep_linear, drift_ode, noises, of_model, sgd_replicas, two_weights
from satlab.theory.drift.noises import ExactTargets, Isotropic, LabelSmoothing, SampledWords
from satlab.theory.drift.ode import check_step, kl_floor, kl_floor_of_step, kl_spread, velocity
from satlab.theory.drift.problem import FiniteProblem


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def on_gamma(p, difference):
    """(u, w) with u w = logit p and u^2 - w^2 = the difference."""
    product = math.log(p / (1 - p))
    total = math.hypot(difference, 2 * product)
    u = math.sqrt((total + difference) / 2)
    return torch.tensor([u, product / u], dtype=torch.float64)


def difference(theta):
    return theta[..., 0].square() - theta[..., 1].square()


def small_bert():
    """(bert-1x4 on all positions of two sentences as a problem of its own making, its contexts, the network)."""
    model = shaken("bert-1x4", tiny_hmm())
    sentences = tiny_hmm().sample(3, generator(1), latents=False)
    batch = make_batch(sentences, "one", model.vocab_size, generator(2))
    return model, batch


@pytest.mark.parametrize("p", [0.3, 0.9])
def test_two_weights_follow_the_closed_form(p):
    times = [0.0, 1.0, 4.0, 10.0]
    path = drift_ode(two_weights(p), on_gamma(p, 1.0), times, tolerance=1e-6)
    expected = torch.exp(-p * (1 - p) * torch.tensor(times, dtype=torch.float64))
    assert torch.allclose(difference(path.theta), expected, rtol=0, atol=1e-4)
    assert torch.allclose(path.trace, p * (1 - p) * path.theta.square().sum(1), rtol=1e-12)
    assert torch.allclose(path.theta.prod(1), torch.full((4,), math.log(p / (1 - p)), dtype=torch.float64), atol=1e-9)


def test_the_error_of_the_path_falls_with_the_tolerance():
    exact = math.exp(-0.21 * 10)
    errors = [
        abs(float(difference(drift_ode(two_weights(0.3), on_gamma(0.3, 1.0), [10.0], tolerance=t).theta[0])) - exact)
        for t in (1e-4, 1e-7)
    ]
    assert errors[0] > 4 * errors[1]


@settings(max_examples=8, deadline=None)
@given(st.floats(0.1, 0.9), st.floats(-1.5, 1.5), st.floats(-1.5, 1.5), st.floats(0.05, 0.3))
def test_a_step_multiplies_the_difference_by_one_less_eta_squared_g_squared(p, u, w, eta):
    theta = torch.tensor([u, w], dtype=torch.float64)
    problem = two_weights(p)
    product = float(theta.prod())
    for word, target in ((0, 1.0), (1, 0.0)):
        g = 1 / (1 + math.exp(-product)) - target
        moved = theta - eta * g * theta.flip(0)
        assert float(difference(moved)) == pytest.approx(float(difference(theta)) * (1 - eta**2 * g**2), abs=1e-12)
        drawn = torch.zeros(1, 1, 1, 2, dtype=torch.float64)
        drawn[..., word] = 1

        class Given(SampledWords):
            def targets(self, joint, batch, shape, generator, drawn=drawn):
                return drawn.expand(*shape, 1, 2)

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the start is not saturated
            (row,) = sgd_replicas(problem, theta, eta, 1, [1], 2, generator(), Given())
        assert torch.allclose(row.theta[0], moved, atol=1e-12)


@pytest.mark.parametrize("eta", [0.4, 0.2])
def test_two_weights_by_sgd_reach_the_target_less_what_the_floor_explains(eta):
    """E g^2 = p (1 - p) (1 + 2 KL) to first order, so that the decay is faster by the factor 1 + 2 KL."""
    rows = list(sgd_replicas(two_weights(0.3), on_gamma(0.3, 1.0), eta, 1, [round(10 / eta**2)], 4000, generator(1)))
    found = Estimate.from_samples(difference(rows[-1].theta))
    target = math.exp(-0.21 * 10)
    slower = math.exp(-0.21 * 10 * (1 + 2 * rows[-1].kl.value))
    assert slower - 4 * found.stderr - 0.01 < found.value < target
    assert target - found.value < 0.06 * eta


def test_the_trace_is_the_formula_of_the_deep_linear_softmax():
    problem, start = deep_linear(seed=3)
    first, second = start[:16].view(4, 4), start[16:].view(3, 4)
    total = 0.0
    for x in range(4):
        p = (second @ first[:, x]).softmax(0)
        c = p.diag() - torch.outer(p, p)
        total += float(c.trace() * first[:, x].square().sum() + (second.T @ c @ second).trace()) / 4
    assert float(problem.trace(start[None])) == pytest.approx(total, rel=1e-12)
    assert float(problem.hessian(start).trace()) == pytest.approx(total, rel=1e-10)
    assert float(problem.kl(start[None])) == pytest.approx(0, abs=1e-15)


def test_the_hessian_is_that_of_bartletts_identity_for_a_transformer():
    model, batch = small_bert()
    problem, theta = of_model(model, batch)
    jacobian = problem.jacobian(theta)
    covariance = gradient_covariance(model, batch)
    scale = float(covariance.abs().max())
    assert float((jacobian.T @ jacobian - covariance).abs().max()) < 1e-12 * scale
    assert float(problem.trace(theta[None])) == pytest.approx(float(covariance.trace()), rel=1e-12)


def test_the_velocity_lies_in_the_kernel_and_lowers_the_trace():
    for problem, start in (deep_linear(), of_model(*small_bert())):
        moved = velocity(problem, start)
        assert float((problem.jacobian(start) @ moved).abs().max()) < 1e-10 * float(moved.norm())
        # d Tr / dt = -1/4 ||grad_Gamma Tr||^2 = -4 ||velocity||^2
        step = 1e-5
        ahead, behind = (problem.retract(start + sign * step * moved) for sign in (1, -1))
        slope = float(problem.trace(ahead[None]) - problem.trace(behind[None])) / (2 * step)
        assert slope == pytest.approx(-4 * float(moved.square().sum()), rel=1e-5)


def test_a_transformer_drifts_along_its_minimum():
    problem, start = of_model(*small_bert())
    path = drift_ode(problem, start, [0.0, 0.02], tolerance=1e-3)
    assert float(path.trace[1]) < float(path.trace[0])
    assert float(problem.kl(path.theta).max()) < 1e-20


def test_sgd_collapses_on_the_ode_with_a_quarter_and_refuses_a_half():
    problem, start = deep_linear(seed=4)
    quarter, half = (float(drift_ode(problem, start, [6.0], factor, 1e-5).trace[0]) for factor in (0.25, 0.5))
    steps = ((0.2, 4, 600), (0.1, 1, 600), (0.1, 2, 1200))
    found = [
        next(iter(sgd_replicas(problem, start, eta, batch, [k], 100, generator(k + batch)))) for eta, batch, k in steps
    ]
    for row in found:
        assert row.clock == pytest.approx(6.0)
        # What is left is of the first order in eta: a twentieth at 0.1.
        assert abs(row.trace.value - quarter) < 4 * row.trace.stderr + 0.06 * quarter
        assert row.trace.value - half > 4 * row.trace.stderr
    assert abs(found[0].trace.value - found[1].trace.value) < 4 * math.hypot(
        found[0].trace.stderr, found[1].trace.stderr
    )


def test_kl_settles_at_eta_trace_over_four_b():
    problem, start = deep_linear(seed=4)
    for eta, batch in ((0.1, 2), (0.05, 1)):
        steps = range(600, 1201, 100)
        rows = list(sgd_replicas(problem, start, eta, batch, steps, 200, generator(5)))
        kl, floor = (sum(getattr(row, name).value for row in rows) / len(rows) for name in ("kl", "floor"))
        stderr = max(row.kl.stderr for row in rows)
        assert abs(kl - floor) < 4 * stderr + 0.1 * floor
        assert kl < 0.6 * 2 * floor  # not twice the floor


def test_the_floor_of_a_finite_step_is_the_fixed_point_of_the_covariance():
    values, eta, batch = torch.tensor([0.5, 2.0, 7.0], dtype=torch.float64), 0.2, 3
    covariance = torch.zeros(3, dtype=torch.float64)
    for _ in range(2000):
        covariance = (1 - eta * values).square() * covariance + eta**2 * values / batch
    expected = float((values * covariance).sum() / 2)
    assert kl_floor_of_step(values, eta, batch) == pytest.approx(expected, rel=1e-10)
    small = kl_floor_of_step(values, 1e-6, batch)
    assert small == pytest.approx(kl_floor(float(values.sum()), 1e-6, batch).value, rel=1e-5)


def test_kl_of_a_settled_run_swings_as_a_sum_of_squares_does():
    problem, start = deep_linear(seed=4)
    eta, batch, replicas = 0.1, 16, 400
    (row,) = sgd_replicas(problem, start, eta, batch, [400], replicas, generator(6))
    values = torch.linalg.svdvals(problem.jacobian(start)).square()
    # The standard deviation of 400 numbers has a relative error of 0.05; more than that, since KL is skew.
    expected = kl_spread(values, eta, batch)
    assert float(problem.kl(row.theta).std()) == pytest.approx(expected, rel=0.25)
    assert expected > kl_floor_of_step(values, eta, batch) / 4
    with pytest.raises(InputError, match="largest eigenvalue"):
        kl_spread(values, 10.0, batch)


def test_exact_targets_do_not_move():
    problem, start = deep_linear(seed=4)
    (row,) = sgd_replicas(problem, start, 0.1, 1, [300], 3, generator(), ExactTargets())
    assert float((row.theta - start).abs().max()) < 1e-12


@pytest.mark.parametrize("name", list(noises))
def test_the_mean_of_every_noise_is_its_own_population_gradient(name):
    problem, _ = deep_linear()
    noise, draws = noises[name](), 20_000
    targets = noise.targets(problem.joint, 2, (1, draws), generator(3))[0]
    aim = noise.truth(problem.truth) * problem.weights[:, None]
    assert torch.allclose(targets.sum((1, 2)), torch.ones(draws, dtype=torch.float64))
    assert float((targets.mean(0) - aim).abs().max()) < 5 * 0.5 / draws**0.5


def test_the_covariance_of_sampled_words_is_the_hessian_over_b():
    problem, start = deep_linear(seed=4)
    batch, draws = 3, 40_000
    targets = SampledWords().targets(problem.joint, batch, (1, draws), generator(3))[0]
    by_logits = targets.sum(2, keepdim=True) * problem.truth - targets
    jacobian = torch.func.jacrev(lambda one: problem.logits(one[None])[0])(start)
    gradients = torch.einsum("rcv,cvp->rp", by_logits, jacobian)
    found, hessian = gradients.T @ gradients / draws, problem.hessian(start)
    assert float((found * batch - hessian).abs().max()) < 0.03 * float(hessian.abs().max())


def test_isotropic_noise_has_its_deviation():
    found = Isotropic(0.5).added(torch.zeros(2000, 5, dtype=torch.float64), 4, generator())
    assert float(found.std()) == pytest.approx(0.25, rel=0.05)


def test_smoothed_targets_have_a_minimum_of_their_own():
    problem, start = deep_linear(seed=4)
    with pytest.warns(UserWarning, match="not saturated"):
        (row,) = sgd_replicas(problem, start, 0.1, 4, [1], 2, generator(), LabelSmoothing(0.2))
    assert row.kl.value > 1e-3


def test_one_replica_is_the_first_of_many():
    """Replicas do not see one another: rows of the batch are the steps of a single one."""
    problem, start = deep_linear(seed=4)
    targets = SampledWords().targets(problem.joint, 2, (5, 3), generator(9))

    class Given(SampledWords):
        def targets(self, joint, batch, shape, generator):
            return targets[: shape[0], : shape[1]]

    (many,) = sgd_replicas(problem, start, 0.1, 2, [5], 3, generator(), Given())
    (few,) = sgd_replicas(problem, start, 0.1, 2, [5], 2, generator(), Given())
    assert torch.allclose(many.theta[:2], few.theta, atol=1e-14)
    assert float((many.theta[0] - many.theta[2]).abs().max()) > 1e-3


def test_a_step_too_large_is_refused_with_the_eigenvalue():
    problem, start = deep_linear(seed=4)
    largest = float(torch.linalg.eigvalsh(problem.hessian(start)).max())
    with pytest.raises(InputError, match=f"eigenvalue of H is {largest:.3g}, expected a step below"):
        list(sgd_replicas(problem, start, 2.1 / largest, 1, [1], 2, generator()))
    check_step(1.9 / largest, largest)


@pytest.mark.parametrize("times", [[], [-1.0], [1.0, 1.0], [2.0, 1.0]])
def test_times_that_do_not_increase_are_refused(times):
    problem, start = deep_linear()
    with pytest.raises(InputError, match="expected increasing numbers"):
        drift_ode(problem, start, times)


def test_a_truth_out_of_reach_is_refused():
    def logits(theta):
        return torch.stack([theta, torch.zeros_like(theta)], -1).expand(-1, 2, -1)

    truth = torch.tensor([[0.5, 0.5], [0.2, 0.8]], dtype=torch.float64)
    problem = FiniteProblem(logits, truth, torch.full((2,), 0.5, dtype=torch.float64))
    with pytest.raises(InputError, match="do not reach f = p"):
        problem.retract(torch.zeros(1, dtype=torch.float64))
    with pytest.raises(InputError, match="expected positive probabilities"):
        FiniteProblem(logits, torch.tensor([[1.0, 0.0], [0.2, 0.8]]), torch.full((2,), 0.5))
