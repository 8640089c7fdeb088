"""Flatness against few-shot transfer on masked brackets: constructed solutions, searched ones, and counter-examples."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from typing_extensions import override

from ...errors import InputError, at_least
from ...randomness import random_stream
from ..brackets import (
    Brackets,
    Search,
    Weights,
    averaging,
    few_shot,
    loss,
    position_specific,
    random_features,
    searched,
    success_probability,
    trace,
    with_dead_neurons,
)
from ..brackets.network import features
from ..experiment import Experiment, Panel, Row, experiments

FEATURES, PER_SENTENCE = 40, 2
"""Random neurons for each bracket of a sentence, and the fewest for each masked sentence."""

ALIVE = 1e-3
"""A neuron is alive whose part |u_j| relu(w_j z) of the output is somewhere above this, on masked sentences."""

ALONG = 0.99
"""A neuron is an averaging one if the cosine of its first T coordinates with +-1_[1..T] is above this."""

RATIO = "Tr(H) / (2 / T^(1/2))"
ERROR = "few-shot error E (head - g)^2 / T"


@experiments.register("brackets")
@dataclass(frozen=True)
class BracketsExperiment(Experiment):
    """Theorem 6.1 and its gap: is the flattest network that predicts a masked bracket the one that transfers?

    Args:
        lengths: sentence lengths T, with spaces between them.
        neurons: m of the searched networks, with spaces.
        searched_lengths: lengths at which networks are searched, with spaces.
        networks: of each search, and of each random construction.
        steps: of a search.
        dead: dead neurons that are added.
        sentences: n of few-shot transfer, with spaces.
        draws: of n sentences.
        seed: of all draws.
    """

    lengths: str = "4 6 8"
    neurons: str = "8"
    searched_lengths: str = "4"
    networks: int = 3
    steps: int = 3000
    dead: int = 24
    sentences: str = "2 5 10 20"
    draws: int = 500
    seed: int = 0

    source = "Liu, Xie, Li and Ma 2022, Theorem 6.1 and Lemma D.1"

    panels = (
        Panel(
            "ratio",
            "error",
            "T = 4, n = 10: all are flat but the random ones",
            RATIO,
            ERROR,
            "xy",
            points=True,
            only=("T 4",),
            where=(("sentences", 10), ("features", "all")),
        ),
        Panel(
            "sentences",
            "success",
            "T = 4: exact heads",
            "sentences n",
            "share of exact heads",
            "x",
            points=True,
            only=("T 4", "predicted, T 4"),
            where=(("features", "all"),),
        ),
    )

    def __post_init__(self) -> None:
        for name in ("lengths", "neurons", "searched_lengths", "sentences"):
            self._numbers(name)
        for length in self._numbers("lengths") + self._numbers("searched_lengths"):
            Brackets(length)
        for name in ("networks", "steps", "dead"):
            at_least(name, getattr(self, name), 1)
        at_least("draws", self.draws, 2)

    @override
    def cells(self) -> tuple[str, ...]:
        kinds = ("averaging", "dead neurons", "position-specific", "random features")
        built = [f"T {length}, {kind}" for length in self._numbers("lengths") for kind in kinds]
        found = [
            f"T {length}, searched, m {neurons}{decay}"
            for length in self._numbers("searched_lengths")
            for neurons in self._numbers("neurons")
            for decay in ("", ", decay")
        ]
        return (*built, *found, *(f"predicted, T {length}" for length in self._numbers("lengths")))

    @override
    def rows(self, cell: str) -> Iterator[Row]:
        if cell.startswith("predicted"):
            length = int(cell.rsplit(maxsplit=1)[-1])
            for n in self._numbers("sentences"):
                yield {"label": cell, "T": length, "sentences": n, "success": success_probability(length, n)}
            return
        brackets = Brackets(int(cell.split()[1].rstrip(",")))
        generator = random_stream(self.seed, "theory", self.cells().index(cell))
        for number, weights in enumerate(self._networks(cell, brackets, generator)):
            yield from self._measured(cell, brackets, number, weights)

    def _networks(self, cell: str, brackets: Brackets, generator: torch.Generator) -> Iterator[Weights]:
        if "searched" in cell:
            neurons = int(cell.split("m ")[1].split(",", maxsplit=1)[0])
            decay = 1e-3 if cell.endswith("decay") else 0.0
            search = Search(neurons=neurons, networks=self.networks, steps=self.steps, weight_decay=decay)
            found = searched(brackets, search, generator)
            yield from (found.one(number) for number in range(len(found)))
            return
        if cell.endswith("averaging"):
            yield averaging(brackets)
            return
        for _ in range(self.networks):
            if cell.endswith("dead neurons"):
                yield with_dead_neurons(averaging(brackets), self.dead, generator, size=brackets.length**0.75)
            elif cell.endswith("position-specific"):
                yield position_specific(brackets, generator)
            else:
                enough = max(FEATURES * brackets.length, PER_SENTENCE * len(brackets.masked))
                yield random_features(brackets, enough, generator)

    def _measured(self, cell: str, brackets: Brackets, number: int, weights: Weights) -> Iterator[Row]:
        """A row for each n, with the features as they are, and with those of living neurons alone."""
        part = features(weights, brackets.masked)[0] * weights.out[0].abs()
        alive = (part > ALIVE).any(0)
        words = weights.value[0, :, : brackets.length]
        cosine = words.sum(1).abs() / (words.norm(dim=1) * math.sqrt(brackets.length))
        row: Row = {
            "label": cell,
            "T": brackets.length,
            "network": number,
            "loss": float(loss(weights, brackets.masked, brackets.targets)),
            "ratio": float(trace(weights, brackets.masked).total) / brackets.least_trace,
            "neurons": len(alive),
            "alive": int(alive.sum()),
            "averaging": int((alive & (cosine > ALONG)).sum()),
        }
        for n in self._numbers("sentences"):
            for which, kept in (("all", torch.ones_like(alive)), ("alive", alive)):
                draws = random_stream(self.seed, "theory", brackets.length, n)
                found = few_shot(weights.neurons(kept), brackets, n, self.draws, draws)
                yield row | {
                    "features": which,
                    "sentences": n,
                    "error": found.error.value,
                    "error_stderr": found.error.stderr,
                    "success": found.success.value,
                    "success_stderr": found.success.stderr,
                    "n": self.draws,
                }

    def _numbers(self, name: str) -> list[int]:
        """The whole numbers that a setting lists."""
        found = []
        for text in getattr(self, name).split():
            if not text.isdecimal() or not 0 < int(text) < 10**6:
                raise InputError(f"{name} has '{text:.40}', expected whole numbers with spaces between; correct it")
            found.append(int(text))
        return found
