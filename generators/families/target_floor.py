"""Finds the temperature at which a random language has a given loss floor."""

import math
from collections.abc import Callable

from ...errors import InputError
from ...randomness import random_stream
from ..language import Language

LOWEST, HIGHEST = 0.05, 20.0
"""The range of temperatures in which the target is searched."""

TOLERANCE = 0.005
"""The largest allowed difference between the measured floor and the target, nats."""

SENTENCES = 2000
"""The number of sentences on which the floor is measured."""

MOST_HALVINGS = 30
"""The largest number of bisection steps."""


def at_target_floor(
    build: Callable[[float], Language], target: float | None, temperature: float, seed: int
) -> Language:
    """The language with a given loss floor, found by bisection on the logarithm of the temperature.

    Every measurement uses the same random numbers, which makes the measured floor an almost continuous function of the
    temperature. The measured floor differs from the target by at most TOLERANCE; the true floor also differs by the
    sampling error of a measurement.

    Args:
        build: a function from the temperature to the language.
        target: the loss floor with one word hidden, nats; None sets no target.
        temperature: the temperature if there is no target.
        seed: the seed of the measured sentences.

    Returns:
        The language.

    Raises:
        InputError: for a target that no temperature from LOWEST to HIGHEST reaches.
    """
    if target is None:
        return build(temperature)

    def excess(language: Language) -> float:
        return language.loss_floor(SENTENCES, random_stream(seed, "floor")).value - target

    low, high = math.log(LOWEST), math.log(HIGHEST)
    below, above = excess(build(LOWEST)), excess(build(HIGHEST))
    if not below - TOLERANCE <= 0 <= above + TOLERANCE:
        raise InputError(
            f"target_floor is {target:g}, expected {below + target:.3f} to {above + target:.3f} nats, the "
            f"floors of this language at temperatures {LOWEST:g} to {HIGHEST:g}; change it, or the number of "
            "words"
        )
    for _ in range(MOST_HALVINGS):
        middle = (low + high) / 2
        language = build(math.exp(middle))
        distance = excess(language)
        if abs(distance) <= TOLERANCE:
            return language
        low, high = (middle, high) if distance < 0 else (low, middle)
    raise InputError(
        f"target_floor is {target:g}, but the floor jumps past it at temperature {math.exp(middle):.4g}; "
        "change it, or the seed"
    )
