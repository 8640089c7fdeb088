"""Frozen features of whole sentences, and the part of them that a probe reads."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import InputError
from ..generators import Sentences
from ..models import MaskedLM
from ..models.features import sentence_features, sentence_layers
from ..models.ops.fast_linear import FastProducts
from .feature_store import Features, Storage

CHUNK = 1024

PRECISIONS = {"float32": None, "bf16": torch.bfloat16}
"""What features are kept in: as the model gives them, or rounded to 8 bits of mantissa."""


@dataclass(frozen=True)
class Reading:
    """What a probe reads: the final features at all positions, or one layer's, or those at one position.

    layer: 0 the embedding, l what layer l leaves. position: 1 the first word; beyond the sentence's end it reads zeros.
    """

    layer: int | None = None
    position: int | None = None

    def width(self, size: int, length: int) -> int:
        """How many features it gives of a model of so many each word and so many words."""
        return size * (length if self.position is None else 1)

    def of(self, whole: Sequence[Tensor], length: int) -> Tensor:
        """[n, d] of the concatenated features: the final ones, then those of the layers, each [n, length * width]."""
        found = whole[0 if self.layer is None else self.layer + 1]
        if self.position is None:
            return found
        if self.position > length:
            return torch.zeros_like(found[:, : found.shape[1] // length])
        return found.unflatten(1, (length, -1))[:, self.position - 1]


@torch.no_grad()
def concatenated_features(model: MaskedLM, sentences: Sentences) -> Tensor:
    """[h_1(x), ..., h_T(x)] [n, T * d] in evaluation mode, without a graph; see `sentence_features`."""
    model.eval()
    with FastProducts():
        return torch.cat([sentence_features(model, part) for part in sentences.split(CHUNK)])


def check_readings(model: MaskedLM, readings: Sequence[Reading]) -> None:
    """Raises InputError for a layer or a position that the model does not have."""
    if any(reading.layer is not None for reading in readings):
        layers = len(model.layer_features(torch.zeros(1, 2, dtype=torch.long, device=_device(model)))) - 1
        for reading in readings:
            if reading.layer is not None and not 0 <= reading.layer <= layers:
                raise InputError(
                    f"layer is {reading.layer}, expected 0 (the embedding) to {layers}, the layers of {model.name}; correct it"
                )
    for reading in readings:
        if reading.position is not None and not 1 <= reading.position <= model.max_length:
            raise InputError(f"position is {reading.position}, expected 1 to {model.max_length}; correct it")


@torch.no_grad()
def extract(
    model: MaskedLM,
    sentences: Sentences,
    readings: Sequence[Reading],
    storage: Storage,
    precision: str = "float32",
    project: Callable[[Tensor], Tensor] | None = None,
) -> dict[Reading, Features]:
    """The features [n, d] that each reading asks for, all from one pass of the model over the sentences.

    project: what is kept instead of the features [n, d], for example a `GaussianProjection` of them.
    Raises InputError where the disk has no room for them.
    """
    model.eval()
    found: dict[Reading, Features] = {}
    dtype = PRECISIONS[precision]
    final, layered = (any((reading.layer is None) is wanted for reading in readings) for wanted in (True, False))
    for part in sentences.split(CHUNK):
        with FastProducts():
            whole = [sentence_features(model, part)] if final else [part.tokens]
            whole += sentence_layers(model, part) if layered else []
        rows = {reading: reading.of(whole, part.tokens.shape[1]) for reading in readings}
        if project is not None:
            rows = {reading: project(values) for reading, values in rows.items()}
        rows = {reading: values.to(dtype or values.dtype) for reading, values in rows.items()}
        if not found:
            size = sum(values.shape[1] * values.element_size() for values in rows.values()) * len(sentences)
            kept = storage if storage.check(size) else None
            found = {reading: Features(len(sentences), kept) for reading in readings}
        for reading, values in rows.items():
            found[reading].append(values)
    return found


def _device(model: MaskedLM) -> torch.device | None:
    return next((parameter.device for parameter in model.parameters()), None)
