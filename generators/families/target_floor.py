"""The temperature at which a random language has a given loss floor."""

import math
from collections.abc import Callable

from ...errors import InputError
from ...randomness import random_stream
from ..language import Language

LOWEST, HIGHEST = 0.05, 20.0
"""Temperatures between which the target is sought."""

TOLERANCE = 0.005
"""How many nats the floor may differ from the target."""

SENTENCES = 2000
"""On how many sentences the floor is measured."""

MOST_HALVINGS = 30
"""Steps of the bisection."""


def at_target_floor(
    build: Callable[[float], Language], target: float | None, temperature: float, seed: int
) -> Language:
    """The language whose loss floor is a target, by bisection on the logarithm of the temperature.

    Every measurement uses the same random numbers, which makes the floor an almost continuous function of the
    temperature. The true floor differs from the target by at most TOLERANCE plus the standard error of a measurement.

    Args:
        build: temperature -> language.
        target: the loss floor with one word hidden, nats; None asks for none.
        temperature: where there is no target.
        seed: what the measured sentences derive from.

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
            f"target_floor is {target:g}, expected {below + target:.3f} to {above + target:.3f} nats, the floors of "
            f"this language at temperatures {LOWEST:g} to {HIGHEST:g}; change it or the number of words"
        )
    for _ in range(MOST_HALVINGS):
        middle = (low + high) / 2
        language = build(math.exp(middle))
        distance = excess(language)
        if abs(distance) <= TOLERANCE:
            return language
        low, high = (middle, high) if distance < 0 else (low, middle)
    raise InputError(
        f"target_floor is {target:g}, but the floor jumps past it at temperature {math.exp(middle):.4g}; change either "
        "it or the seed"
    )
