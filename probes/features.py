"""Extracts frozen features of whole sentences, and selects those that a probe reads."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import InputError
from ..generators import Sentences
from ..generators.named import takes_names
from ..models import LanguageModel
from ..models.features import sentence_features, sentence_layers
from ..models.ops.fast_linear import FastProducts
from .feature_store import Features, FeatureStorage

CHUNK = 1024
"""Sentences that the model reads at once."""

PRECISIONS = {"float32": None, "bf16": torch.bfloat16}
"""Precision -> dtype of kept features. None keeps the model's; bfloat16 has a significand of 8 bits."""


@dataclass(frozen=True)
class FeatureChoice:
    """Which features a probe reads: by default the final features at all positions, side by side.

    Args:
        layer: reads one layer instead of the final features: 0 is the embedding, l the output of layer l.
        position: reads one word instead of all, counted from 1; beyond the end of a sentence it reads zeros.
    """

    layer: int | None = None
    position: int | None = None

    def width(self, size: int, length: int) -> int:
        """The number of features d that this choice gives.

        Args:
            size: features per word.
            length: the longest sentence, in words.

        Returns:
            size * length, or size if one position is read.
        """
        return size * (length if self.position is None else 1)

    def of(self, whole: Sequence[Tensor], length: int) -> Tensor:
        """Selects the features.

        Args:
            whole: the final features, then those of layer 0, 1, ..., each [n, length * size].
            length: the number T of words.

        Returns:
            [n, d].
        """
        found = whole[0 if self.layer is None else self.layer + 1]
        if self.position is None:
            return found
        if self.position > length:
            return torch.zeros_like(found[:, : found.shape[1] // length])
        return found.view(len(found), length, found.shape[1] // length)[:, self.position - 1]


@takes_names
@torch.no_grad()
def concatenated_features(model: LanguageModel, sentences: Sentences) -> Tensor:
    """[h_1(x), ..., h_T(x)] [n, T * d] in evaluation mode, without a graph; see `sentence_features`."""
    model.eval()
    with FastProducts():
        return torch.cat([sentence_features(model, part) for part in sentences.split(CHUNK)])


def check_choices(model: LanguageModel, choices: Sequence[FeatureChoice]) -> None:
    """Checks that a model has the chosen layers and positions.

    Raises:
        InputError: for a layer or position that does not exist.
    """
    if any(choice.layer is not None for choice in choices):
        layers = len(model.layer_features(torch.zeros(1, 2, dtype=torch.long, device=_device(model)))) - 1
        for choice in choices:
            if choice.layer is not None and not 0 <= choice.layer <= layers:
                raise InputError(
                    f"layer is {choice.layer}, expected 0 (the embedding) to {layers}, the layers of {model.name}; "
                    "correct it"
                )
    for choice in choices:
        if choice.position is not None and not 1 <= choice.position <= model.max_length:
            raise InputError(f"position is {choice.position}, expected 1 to {model.max_length}; correct it")


@torch.no_grad()
def extract(
    model: LanguageModel,
    sentences: Sentences,
    choices: Sequence[FeatureChoice],
    storage: FeatureStorage,
    precision: str = "float32",
    project: Callable[[Tensor], Tensor] | None = None,
) -> dict[FeatureChoice, Features]:
    """Extracts the features for all choices in one pass of the model over the sentences.

    Args:
        model: reads the sentences in evaluation mode.
        sentences: n sentences.
        choices: which features are kept.
        storage: where they are kept.
        precision: one of PRECISIONS.
        project: maps features [m, d] to the features that are kept instead, for example a `GaussianProjection`.

    Returns:
        choice -> features [n, d].

    Raises:
        InputError: if the disk has no room for the features.
    """
    model.eval()
    found: dict[FeatureChoice, Features] = {}
    dtype = PRECISIONS[precision]
    final, layered = (any((choice.layer is None) is wanted for choice in choices) for wanted in (True, False))
    for part in sentences.split(CHUNK):
        with FastProducts():
            whole = [sentence_features(model, part)] if final else [part.tokens]
            whole += sentence_layers(model, part) if layered else []
        rows = {choice: choice.of(whole, part.tokens.shape[1]) for choice in choices}
        if project is not None:
            rows = {choice: project(values) for choice, values in rows.items()}
        rows = {choice: values.to(dtype or values.dtype) for choice, values in rows.items()}
        if not found:
            size = sum(values.shape[1] * values.element_size() for values in rows.values()) * len(sentences)
            kept = storage if storage.needs_file(size) else None
            found = {choice: Features(len(sentences), kept) for choice in choices}
        for choice, values in rows.items():
            found[choice].append(values)
    return found


def _device(model: LanguageModel) -> torch.device | None:
    return next((parameter.device for parameter in model.parameters()), None)
