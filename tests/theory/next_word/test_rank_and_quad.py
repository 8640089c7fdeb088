"""What d features can reach, and what the Quad objective learns, against closed forms."""

from dataclasses import replace

import pytest
import torch
from support.finite_languages import random_finite
from support.networks import demo_hmm, shaken, tiny_hmm

from satlab.errors import InputError
from satlab.theory import Subject
from satlab.theory.next_word.rank import Ranks, least_kl, ranks
from satlab.theory.saunshi_features import SaunshiFeatures
from satlab.theory.saunshi_log_partition import SaunshiLogPartition
from satlab.theory.saunshi_quad import SaunshiQuad, quad_links
from satlab.theory.saunshi_rank import SaunshiRank
from satlab.train.objectives import objectives


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("d", [1, 2])
def test_a_truth_of_rank_d_is_reached_and_one_of_higher_rank_is_not(d):
    truth = (draw(12, d) @ draw(d, 5, seed=1)).softmax(1)
    weights = torch.ones(12, dtype=torch.float64)
    assert ranks(truth).without_bias == d
    assert least_kl(truth, weights, d).value < 1e-8
    high = draw(12, 5, seed=3).softmax(1)
    assert ranks(high).without_bias == 4
    found = least_kl(high, weights, d)
    assert 1e-3 < found.value < float((weights / 12) @ (high * (high.log() - (high.mean(0)).log())).sum(1))


def test_one_feature_is_enough_for_two_words():
    truth = draw(6, 2).softmax(1)
    assert least_kl(truth, torch.ones(6), 1).value < 1e-9


@pytest.mark.parametrize("d", [1, 2])
def test_a_bias_saves_a_feature(d):
    f, phi, bias = draw(12, d), draw(d, 6, seed=1), draw(6, seed=2)
    truth = (f @ phi + bias).softmax(1)
    assert ranks(truth) == Ranks(d + 1, d)
    assert least_kl(truth, torch.ones(12), d, starts=0, iterations=20).value < 1e-8
    assert ranks(truth[: d + 1]).with_bias <= d
    high = draw(12, 6, seed=3).softmax(1)
    assert ranks(high) == Ranks(5, 5)
    assert least_kl(high, torch.ones(12), d, starts=1, iterations=50).value > 1e-3


def test_ranks_count_within_contexts_of_the_same_words():
    one, other = (draw(8, 2, seed=k) @ draw(2, 4, seed=k + 1) for k in (0, 5))
    truth = torch.zeros(17, 6, dtype=torch.float64)
    truth[:8, :4], truth[8:16, 2:], truth[16, 5] = one.softmax(1), other.softmax(1), 1.0
    assert ranks(truth) == Ranks(2, 2)
    assert ranks(truth[16:]) == Ranks(0, 0)


@pytest.mark.parametrize("seed", range(8))
def test_quad_against_any_head(seed):
    finite = random_finite(seed, contexts=12)
    links = list(quad_links(finite))
    assert all(link.holds for link in links)
    truth, share = finite.truth, finite.weights / finite.weights.sum()
    values = torch.linalg.eigvalsh(truth.T @ (truth * share[:, None])).flip(0)
    _, phi, bias = finite.head
    rank = int(torch.linalg.matrix_rank(torch.cat([phi, bias[None]])))
    assert links[0].left.value == pytest.approx(-float(values[:rank].sum()) / 2, rel=1e-9)


def test_the_optimum_of_quad_is_the_top_eigenspace():
    """Descent on the objective itself ends where the closed form says, with vanishing angles."""
    finite = random_finite(2, contexts=12)
    truth, share = finite.truth, finite.weights / finite.weights.sum()
    d = 1
    f, phi = draw(12, d, seed=5).requires_grad_(), draw(d, truth.shape[1], seed=6).requires_grad_()
    optimizer = torch.optim.LBFGS(
        [f, phi], max_iter=3000, tolerance_grad=1e-12, tolerance_change=1e-16, line_search_fn="strong_wolfe"
    )
    objective = objectives["quad"]()

    def closure():
        optimizer.zero_grad()
        scale = share.sqrt()[:, None]
        loss = objective.loss(scale * (f @ phi), None, scale * truth)
        loss.backward()
        return loss

    optimizer.step(closure)
    from dataclasses import replace

    learned = replace(
        finite, features=f.detach(), phi=phi.detach(), bias=torch.zeros(truth.shape[1], dtype=torch.float64)
    )
    links = list(quad_links(learned))
    assert all(link.holds for link in links)
    assert links[1].right.value == pytest.approx(links[0].left.value, abs=1e-7)
    assert links[2].left.value < 1e-6
    assert links[3].left.value < 1e-6


def test_the_angles_are_to_the_eigenvectors_before_the_largest_fall():
    """Omega is diagonal, with eigenvalues 0.4, 0.4, 0.1, 0.1; Phi misses half of the second and of the third."""
    truth = torch.eye(4, dtype=torch.float64)
    weights = torch.tensor([0.4, 0.4, 0.1, 0.1], dtype=torch.float64)
    half = 0.5**0.5
    phi = torch.tensor([[1.0, 0, 0, 0], [0, half, half, 0], [0, 0, 0, 1.0]], dtype=torch.float64)
    finite = random_finite(0, contexts=4)
    finite = replace(
        finite, truth=truth, weights=weights, features=truth[:, :3], phi=phi, bias=torch.zeros(4, dtype=torch.float64)
    )
    *_, found = quad_links(finite)
    assert "the top 2 eigenvectors" in found.name
    assert found.left.value == pytest.approx(0.5)
    # (0.4 + 0.4 + 0.1 - (0.4 + 0.25 + 0.1)) / (0.4 - 0.1)
    assert found.right.value == pytest.approx(0.15 / 0.3)
    assert found.holds


@pytest.mark.parametrize("theorem", [SaunshiQuad(40), SaunshiRank(40, 0)])
def test_links_hold_on_any_causal_model(theorem):
    for language in (tiny_hmm(), demo_hmm()):
        model = shaken("gpt-1x4", language, deviation=0.2, dtype=torch.float32)
        assert all(link.holds for link in theorem.check(Subject(model, language, "next")))
        other = shaken("bert-1x4", language)
        with pytest.raises(InputError, match="expected one that predicts the next word"):
            list(theorem.check(Subject(other, language)))


def test_representations_and_log_z_of_any_causal_model():
    language = demo_hmm()
    model = shaken("gpt-1x4", language, deviation=0.2, dtype=torch.float32)
    subject = Subject(model, language, "next")
    links = list(SaunshiFeatures("state", sentences=40).check(subject))
    assert all(link.holds for link in links)
    assert len(links) == 16
    assert {link.name.partition(":")[0] for link in links} >= {"features", "conditional-mean", "class-words", "truth"}
    found = list(SaunshiLogPartition(sentences=40, points=5).check(subject))
    assert all(link.holds for link in found)
    points = [(link.left.value, link.right.value) for link in found if link.name.startswith("log Z at fresh context")]
    assert len(found) == 4 + len(points) == 9
    assert [value for value, _ in points] == sorted(value for value, _ in points)
    assert found[4].slack == pytest.approx(found[2].right.value)
    assert 0 <= found[0].left.value < 1
    assert found[0].left.value < found[0].right.value


@pytest.mark.parametrize(
    ("theorem", "settings", "message"),
    [
        (SaunshiFeatures, {"sentences": 1}, "sentences is 1, expected at least 10"),
        (SaunshiFeatures, {"words_each": 0}, "words_each is 0, expected at least 1"),
        (SaunshiLogPartition, {"sentences": 1}, "sentences is 1, expected at least 10"),
        (SaunshiRank, {"starts": -1}, "starts is -1, expected at least 0"),
        (SaunshiQuad, {"sentences": 0}, "sentences is 0, expected at least 2"),
    ],
)
def test_wrong_settings(theorem, settings, message):
    with pytest.raises(InputError, match=message):
        theorem(**settings)
