"""Flatness against few-shot transfer on masked brackets: constructed solutions, searched ones, and counter-examples."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from typing_extensions import override

from ...errors import InputError, at_least
from ...randomness import random_stream
from ..brackets import (
    Brackets,
    LabelNoise,
    Penalty,
    Weights,
    averaging,
    by_label_noise,
    by_penalty,
    expected_error,
    few_shot,
    loss,
    neurons_of,
    position_specific,
    random_features,
    success_probability,
    trace,
    with_dead_neurons,
)
from ..experiment import Experiment, Means, Panel, Row, experiments

FEATURES, PER_SENTENCE = 40, 2
"""Random neurons for each bracket of a sentence, and the fewest for each masked sentence."""

BUILT = ("averaging", "dead neurons", "position-specific", "random features")
"""Networks that are written down."""

SEARCHED = ("penalty", "penalty and decay", "label noise", "label noise and decay")
"""Networks that are found from random weights."""

RATIO = "Tr(H) / (2 / T^(1/2))"
ERROR = "few-shot error E (head - g)^2 / T"
SHOWN = (("sentences", 10), ("features", "all"))


def _flat(title: str, *only: str) -> Panel:
    return Panel("ratio", "error", title, RATIO, ERROR, "xy", points=True, only=only, where=SHOWN)


@experiments.register("brackets")
@dataclass(frozen=True)
class BracketsExperiment(Experiment):
    """Theorem 6.1 and its gap: is the flattest network that predicts a masked bracket the one that transfers?

    Args:
        lengths: sentence lengths T, with spaces between them.
        searched_lengths: lengths at which networks are searched, with spaces.
        neurons: m of the searched networks.
        networks: of each search, and of each random construction.
        steps: of the search by a penalty.
        noisy_steps: of the search by label noise.
        penalty_decay: weight decay of the search by a penalty, where there is one; it falls to zero.
        noise_decay: weight decay of the search by label noise, where there is one.
        dead: dead neurons that are added.
        sentences: n of few-shot transfer, with spaces.
        draws: of n sentences.
        seed: of all draws.
    """

    lengths: str = "4 6 8"
    searched_lengths: str = "4 6 8"
    neurons: int = 24
    networks: int = 4
    steps: int = 2500
    noisy_steps: int = 40_000
    penalty_decay: float = 3e-3
    noise_decay: float = 2e-3
    dead: int = 24
    sentences: str = "2 5 10 20"
    draws: int = 500
    seed: int = 0

    source = "Liu, Xie, Li and Ma 2022, Theorem 6.1 and Lemma D.1"

    panels = (
        _flat("published: the flattest transfer, n = 10", *(f"T {t}, {BUILT[i]}" for t in (4, 6, 8) for i in (0, 3))),
        _flat("here: others are as flat and do not, T = 4", "T 4", "claimed, T 4"),
        _flat("here, T = 6", "T 6", "claimed, T 6"),
        _flat("here, T = 8", "T 8", "claimed, T 8"),
        *(
            Panel(
                "sentences",
                "success",
                f"T = {length}: exact heads",
                "sentences n",
                "share of exact heads",
                "x",
                points=True,
                only=(f"T {length}", f"claimed, T {length}"),
                where=(("features", "all"),),
            )
            for length in (4, 6)
        ),
    )

    means = Means(
        ("label", "T", "features", "sentences"),
        ("loss", "ratio", "alive", "averaging", "position_specific", "dead", "error", "success"),
    )

    def __post_init__(self) -> None:
        for name in ("lengths", "searched_lengths", "sentences"):
            self._numbers(name)
        for length in self._numbers("lengths") + self._numbers("searched_lengths"):
            Brackets(length)
        for name in ("networks", "dead"):
            at_least(name, getattr(self, name), 1)
        at_least("draws", self.draws, 2)
        for kind in SEARCHED:
            self._search(kind)

    @override
    def cells(self) -> tuple[str, ...]:
        built = [f"T {length}, {kind}" for length in self._numbers("lengths") for kind in BUILT]
        found = [f"T {length}, {kind}" for length in self._numbers("searched_lengths") for kind in SEARCHED]
        return (*built, *found, *(f"claimed, T {length}" for length in self._numbers("lengths")))

    @override
    def rows(self, cell: str) -> Iterator[Row]:
        if cell.startswith("claimed"):
            length = int(cell.rsplit(maxsplit=1)[-1])
            for n in self._numbers("sentences"):
                claim = {"ratio": 1.0, "error": expected_error(length, n), "success": success_probability(length, n)}
                yield {"label": cell, "T": length, "sentences": n} | claim
            return
        first, kind = cell.split(", ")
        brackets = Brackets(int(first.split()[1]))
        generator = random_stream(self.seed, "theory", brackets.length, (*BUILT, *SEARCHED).index(kind), 0)
        for number, weights in enumerate(self._networks(kind, brackets, generator)):
            yield from self._measured(cell, brackets, number, weights)

    def _search(self, kind: str) -> Penalty | LabelNoise:
        decay, given = kind.endswith("decay"), {"neurons": self.neurons, "networks": self.networks}
        if kind.startswith("penalty"):
            found = Penalty(**given, steps=self.steps)
            return replace(found, weight_decay=self.penalty_decay) if decay else found
        noisy = LabelNoise(**given, steps=self.noisy_steps)
        return replace(noisy, weight_decay=self.noise_decay) if decay else noisy

    def _networks(self, kind: str, brackets: Brackets, generator: torch.Generator) -> Iterator[Weights]:
        if kind in SEARCHED:
            search = self._search(kind)
            if isinstance(search, Penalty):
                found = by_penalty(brackets, search, generator)
            else:
                found = by_label_noise(brackets, search, generator)
            yield from (found.one(number) for number in range(len(found)))
            return
        if kind == "averaging":
            yield averaging(brackets)
            return
        for _ in range(self.networks):
            if kind == "dead neurons":
                yield with_dead_neurons(averaging(brackets), self.dead, generator, size=brackets.length**0.75)
            elif kind == "position-specific":
                yield position_specific(brackets, generator)
            else:
                enough = max(FEATURES * brackets.length, PER_SENTENCE * len(brackets.masked))
                yield random_features(brackets, enough, generator)

    def _measured(self, cell: str, brackets: Brackets, number: int, weights: Weights) -> Iterator[Row]:
        """A row for each n, with the features as they are, and with those of living neurons alone."""
        kinds = neurons_of(weights, brackets)
        row: Row = {
            "label": cell,
            "T": brackets.length,
            "network": number,
            "loss": float(loss(weights, brackets.masked, brackets.targets)),
            "ratio": float(trace(weights, brackets.masked).total) / brackets.least_trace,
            "neurons": len(kinds.alive),
            "alive": int(kinds.alive.sum()),
            "averaging": int(kinds.averaging.sum()),
            "position_specific": int(kinds.position_specific.sum()),
            "dead": int(kinds.dead.sum()),
        }
        for n in self._numbers("sentences"):
            for which, kept in (("all", torch.ones_like(kinds.alive)), ("alive", kinds.alive)):
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
        """The integers that a setting lists."""
        found = []
        for text in getattr(self, name).split():
            if not text.isdecimal() or not 0 < int(text) < 10**6:
                raise InputError(f"{name} has '{text:.40}', expected integers with spaces between; correct it")
            found.append(int(text))
        return found
