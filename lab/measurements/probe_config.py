"""What a probe is told."""

from dataclasses import asdict, dataclass
from typing import Any

from ...errors import InputError, unknown
from ...probes import AdamW, Extraction, FineTuning, Optimum, Reading, Samples, Storage

PROBES: dict[str, Any] = {"linear": Optimum, "linear-adamw": AdamW, "fine-tune": FineTuning}
"""Probe methods by the names that rows give them."""


@dataclass(frozen=True)
class ProbeConfig:
    """Probes of frozen features, and fine-tuning. As published (Liu et al. 2022): 0.1M sentences, 5 seeds, linear-adamw.

    Args:
        train_sentences: labelled sentences the probe is fitted on.
        test_sentences: labelled sentences its accuracy is measured on.
        seeds: repeats, each with sentences of its own.
        l2: of linear, strength of the penalty l2 / 2 ||W||^2 beside the mean loss; null chooses it by validation.
        seed: what the repeats derive from.
        method: linear (the convex optimum), linear-adamw (the layer as published), fine-tune (all weights), or a list.
        layer: a layer instead of the final features, 0 the embedding, or all: each by itself.
        position: a word's position, from 1, instead of all words side by side, or all: each by itself.
        projection: width of a random Gaussian projection of the features, as published 512; none unless given.
        lr: learning rate of AdamW; as published, 1e-3, and 1e-4 of fine-tune, unless given.
        epochs: passes of AdamW over the training sentences; as published, 100, and 10 of fine-tune, unless given.
        batch_size: sentences a step of AdamW.
        precision: what features are kept and multiplied in by probes, float32 or bf16.
    """

    train_sentences: int = 8000
    test_sentences: int = 8000
    seeds: int = 3
    l2: float | None = 1e-4
    seed: int = 0
    method: list[str] | str = "linear"
    layer: int | str | None = None
    position: int | str | None = None
    projection: int | None = None
    lr: float | None = None
    epochs: int | None = None
    batch_size: int = 256
    precision: str = "float32"

    def __post_init__(self) -> None:
        _ = self.samples, self.extraction()
        if not self.methods or len(set(self.methods)) < len(self.methods):
            raise InputError(f"method is {self.method}, expected one or several of {', '.join(PROBES)}; name each once")
        for method in self.methods:
            if method not in PROBES:
                raise unknown("probe method", method, PROBES)
        for method in PROBES:
            self.how(method)
        if self.l2 is None and self.train_sentences < 2 and set(self.methods) & {"linear", "fine-tune"}:
            raise InputError("train_sentences is 1, expected at least 2 where l2 is to be chosen; give more, or l2")
        for name in ("layer", "position"):
            if isinstance(getattr(self, name), str) and getattr(self, name) != "all":
                raise InputError(f"{name} is '{getattr(self, name)}', expected a number or all; correct it")
        frozen = [name for name in ("layer", "position", "projection") if getattr(self, name) is not None]
        if "fine-tune" in self.methods and frozen:
            raise InputError(f"{frozen[0]} with method fine-tune, which trains all weights: leave one of the two out")

    @property
    def methods(self) -> list[str]:
        return [self.method] if isinstance(self.method, str) else self.method

    def how(self, method: str) -> Optimum | AdamW | FineTuning:
        """What fits a probe of this method. Raises InputError for a number that cannot be."""
        if method == "linear":
            return Optimum(self.l2)
        given = {"lr": self.lr, "epochs": self.epochs, "batch_size": self.batch_size}
        return PROBES[method](**{name: value for name, value in given.items() if value is not None})

    def extraction(self, cache: str | None = None) -> Extraction:
        """What is kept of the features, in this directory where memory has no room. Raises InputError as `how` does."""
        return Extraction(self.projection, self.precision, Storage(cache))

    @property
    def samples(self) -> Samples:
        return Samples(self.train_sentences, self.test_sentences, self.seeds, self.seed)

    def settings(self, method: str, reading: Reading | None = None) -> dict[str, Any]:
        """What a row of this method says of how it was taken: all that its value depends on, and nothing else."""
        kept = asdict(self.samples) | asdict(self.how(method)) | (asdict(reading) if reading else {})
        if method != "fine-tune":
            kept |= {
                "projection": self.projection,
                "precision": None if self.precision == "float32" else self.precision,
            }
        return {name: value for name, value in kept.items() if value is not None or name == "l2"}

    def readings(self, layers: int, length: int) -> list[Reading]:
        """What probes of a model with so many layers, of a language of this length, read: one, or each by itself.

        Raises InputError for a layer or a position that is not there.
        """
        chosen = {}
        for name, first, last in (("layer", 0, layers), ("position", 1, length)):
            value = getattr(self, name)
            if isinstance(value, int) and not first <= value <= last:
                raise InputError(f"{name} is {value}, expected {first} to {last} or all; correct it")
            chosen[name] = list(range(first, last + 1)) if value == "all" else [value]
        return [Reading(layer, position) for layer in chosen["layer"] for position in chosen["position"]]
