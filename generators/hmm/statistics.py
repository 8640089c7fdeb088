"""Exact statistics of the hidden chain of an HMM: closed classes, mixing and entropies."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse.csgraph import connected_components

from .language import HMM

Vector = NDArray[np.float64]
States = NDArray[np.intp]


@dataclass(frozen=True)
class ClosedClass:
    """States that reach one another and no other states. Each block of a block-diagonal chain has at least one class.

    Args:
        states: the states, counted from 1, as in tasks.
        weight: P(the chain ends up in this class), from the initial probabilities.
        stationary: pi with pi = pi P, one number for each state.
        entropy_rate: sum_k pi_k H(P[k]), nats per step.
        second_eigenvalue: the second largest |eigenvalue| of P, the factor per step by which the chain forgets its
            start; 1 for a periodic class.
    """

    states: tuple[int, ...]
    weight: float
    stationary: tuple[float, ...]
    entropy_rate: float
    second_eigenvalue: float


@dataclass(frozen=True)
class ChainStatistics:
    """Statistics of a chain, in the long run and over the T positions of a sentence.

    Args:
        states: K.
        words: V.
        blocks: the number of declared blocks of the chain.
        transient: the number of states outside all closed classes.
        classes: the closed classes.
        entropy_rate: nats per step in the long run, averaged over the classes by their weights.
        path_entropy: H(z_1 .. z_T), nats.
        occupancy: the mean over the T positions of P(z_t = k), for each state k.
        effective_states: exp of the entropy of the occupancy.
        emission_entropy: H(x_t | z_t), the entropies of the emission's rows averaged by the occupancy, nats.
        least_emission_entropy: the smallest entropy of a row, nats.
        greatest_emission_entropy: the largest entropy of a row, nats.
    """

    states: int
    words: int
    blocks: int
    transient: int
    classes: tuple[ClosedClass, ...]
    entropy_rate: float
    path_entropy: float
    occupancy: tuple[float, ...]
    effective_states: float
    emission_entropy: float
    least_emission_entropy: float
    greatest_emission_entropy: float


def chain_statistics(language: HMM) -> ChainStatistics:
    """The statistics of an HMM's chain, in float64."""
    initial, transition, emission = (
        table.cpu().numpy() for table in (language.initial, language.transition, language.emission)
    )
    component = connected_components(transition > 0, connection="strong")[1]
    leaves = np.zeros(component.max() + 1, bool)
    origin, target = np.nonzero(transition)
    leaves[component[origin[component[origin] != component[target]]]] = True
    members = [np.flatnonzero(component == c) for c in np.flatnonzero(~leaves)]
    members.sort(key=lambda states: int(states[0]))
    weights = _absorption(initial, transition, members)
    classes = tuple(_closed_class(transition, states, w) for states, w in zip(members, weights, strict=True))
    marginal = np.empty((language.max_length, len(initial)))
    marginal[0] = initial
    for t in range(1, language.max_length):
        marginal[t] = marginal[t - 1] @ transition
    occupancy = marginal.mean(0)
    row_entropy, emission_entropy = _entropy(transition), _entropy(emission)
    return ChainStatistics(
        states=len(initial),
        words=language.vocab_size,
        blocks=len(language.blocks),
        transient=len(initial) - sum(map(len, members)),
        classes=classes,
        entropy_rate=math.fsum(c.weight * c.entropy_rate for c in classes),
        path_entropy=float(_entropy(initial) + (marginal[:-1] @ row_entropy).sum()),
        occupancy=tuple(occupancy.tolist()),
        effective_states=float(np.exp(_entropy(occupancy))),
        emission_entropy=float(occupancy @ emission_entropy),
        least_emission_entropy=float(emission_entropy.min()),
        greatest_emission_entropy=float(emission_entropy.max()),
    )


def _closed_class(transition: Vector, states: States, weight: float) -> ClosedClass:
    """The statistics of one closed class of a chain."""
    block = transition[np.ix_(states, states)]
    pi = stationary(block)
    moduli = np.sort(np.abs(np.linalg.eigvals(block)))
    return ClosedClass(
        states=tuple((states + 1).tolist()),
        weight=weight,
        stationary=tuple(pi.tolist()),
        entropy_rate=float(pi @ _entropy(block)),
        second_eigenvalue=float(min(moduli[-2], 1.0)) if len(states) > 1 else 0.0,
    )


def stationary(transition: Vector) -> Vector:
    """pi with pi = pi P of an irreducible P [K, K], without subtractions (Grassmann, Taksar and Heyman 1985)."""
    censored = transition.copy()
    for k in range(len(censored) - 1, 0, -1):
        censored[:k, k] /= censored[k, :k].sum()
        censored[:k, :k] += np.outer(censored[:k, k], censored[k, :k])
    pi = np.ones(len(censored))
    for k in range(1, len(pi)):
        pi[k] = pi[:k] @ censored[:k, k]
    normalised: Vector = pi / pi.sum()
    return normalised


def _absorption(initial: Vector, transition: Vector, members: list[States]) -> list[float]:
    """P(the chain ends up in a class) for each class: it starts there or enters from a transient state."""
    passing = np.setdiff1d(np.arange(len(initial)), np.concatenate(members))
    visits = np.linalg.solve(np.eye(len(passing)) - transition[np.ix_(passing, passing)].T, initial[passing])
    return [float(initial[c].sum() + visits @ transition[np.ix_(passing, c)].sum(1)) for c in members]


def _entropy(rows: Vector) -> Vector:
    """The entropies of the rows of a table, or of one row, nats."""
    entropies: Vector = -np.sum(rows * np.log(np.where(rows > 0, rows, 1.0)), axis=-1)
    return entropies
