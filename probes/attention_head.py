"""A linear head on a frozen model's predicted distributions at words of the text that it selects by attention."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from typing_extensions import override

from ..errors import unknown
from ..generators import Sentences
from ..models import LanguageModel
from ..randomness import random_stream
from .head import HeadProbe
from .method import FittedProbe, probe_methods
from .projection import HEAD
from .released import HEAD_DEVIATION, Released
from .tuning.readings import CHUNK, distributions

ATTENTIONS = ("soft", "hard")


@dataclass(frozen=True)
class AttentionClassifier(FittedProbe):
    """sum_i a_i (W G_i + b), with attention a = softmax over words of u . G_i, or 1 at its largest entry.

    Args:
        score: u [V].
        weight: W [k, V].
        bias: b [k].
        hard: whether the word with the largest score gets all attention; ties share it equally.
    """

    score: Tensor
    weight: Tensor
    bias: Tensor
    hard: bool

    def scores(self, read: Tensor) -> Tensor:
        """The scores of the classes. Under hard attention their derivatives are those of soft attention.

        Args:
            read: G [n, T, V], zero beyond the end of a text.

        Returns:
            [n, k].
        """
        read = read.to(self.score)
        beyond = read.sum(2) == 0
        found = (read @ self.score).masked_fill(beyond, -torch.inf)
        attention = found.softmax(1)
        if self.hard:
            best = (found == found.amax(1, keepdim=True)).to(found)
            attention = best / best.sum(1, keepdim=True) + (attention - attention.detach())
        return F.linear((attention[..., None] * read).sum(1), self.weight, self.bias)

    @override
    def predict(self, features: Tensor) -> Tensor:
        return torch.cat([self.scores(part).argmax(1) for part in features.split(CHUNK)])


@probe_methods.register("attention-head")
@dataclass(frozen=True)
class AttentionHead(Released, HeadProbe):
    """A linear head on one word's predicted distribution, or a mixture of several, chosen by attention.

        G_i = p(x_i = . | all other words),   a = softmax_i(u . G_i),   scores = W sum_i a_i G_i + b

    The optimiser of `head-adamw` trains u, W and b; the network is frozen, and every G_i is computed once. Hard
    attention uses only the word with the largest score, and learns from the derivatives of soft attention. The probe
    suits a memory that shows in some words and not in others.

    Args:
        attention: soft, or hard.

    Raises:
        InputError: for another attention, and for invalid settings of the optimiser.

    Source: Wei, Xie and Ma 2021, 2106.09226, memory-augmented HMMs; the form of the released head is lost.
    """

    attention: str = ATTENTIONS[0]

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.attention not in ATTENTIONS:
            raise unknown("attention", self.attention, ATTENTIONS)

    @property
    @override
    def parts(self) -> int:
        return self.epochs

    @override
    def read_of(self, model: LanguageModel, sentences: Sentences) -> Tensor:
        """G [n, T, V] float32, zero beyond the end of a text."""
        model.eval()
        found = []
        for part in sentences.split(CHUNK):
            inside = torch.arange(part.tokens.shape[1], device=part.tokens.device) < part.lengths[:, None]
            found.append(distributions(model, part).masked_fill(~inside[..., None], 0.0).float())
        return torch.cat(found)

    @override
    def fit_head(
        self,
        features: Tensor,
        labels: Tensor,
        classes: int,
        seed: int,
        repeat: int,
        on_epoch: Callable[[int], object] = lambda done: None,
    ) -> FittedProbe:
        generator = random_stream(seed, "probe", repeat, HEAD)
        table = torch.randn(classes + 1, features.shape[2], generator=generator) * HEAD_DEVIATION
        table = table.to(labels.device)
        weight, score = nn.Parameter(table[:-1].clone()), nn.Parameter(table[-1].clone())
        bias = nn.Parameter(torch.zeros(classes, device=labels.device))
        head = AttentionClassifier(score, weight, bias, self.attention == "hard")

        self.train([score, weight, bias], lambda rows: head.scores(features[rows]), labels, generator, on_epoch)
        return AttentionClassifier(score.detach(), weight.detach(), bias.detach(), head.hard)
