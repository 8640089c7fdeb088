"""The effect on the trace of a rescaling of the weights that changes no prediction.

The first group of parameters is multiplied by alpha, and the second, which reads its output, by 1 / alpha:

    pre-LN transformer    gain and bias of the LayerNorm before attention; query, key and value weights
                          gain and bias of the LayerNorm before the MLP;  its first weights
    every transformer     value weights and biases;                        attention's output weights
    residual LSTM         gain and bias of a layer's LayerNorm;            its input weights
    LSTM                  the tied embedding;                              input weights of the first layer; the join

Tr(H) changes: if a parameter is multiplied by alpha, the second derivative with respect to it is divided by alpha^2. So
Tr(H) compares only checkpoints of one architecture in one parametrisation.
"""

import copy
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from typing_extensions import override

from ...errors import InputError
from ...generators import Language, Sentences
from ...generators.named import takes_names
from ...models import LanguageModel
from ...models.networks.lstm import Lstm
from ...models.networks.lstm_residual import Layer
from ...models.networks.transformer import Block
from ...randomness import random_stream
from ..measure import (
    FlatnessMeasure,
    Measurement,
    Problem,
    at_least,
    check_positive,
    flatness_measures,
    in_blocks,
)
from ..problem import contexts_of
from ..trace import hessian_trace
from ..trace_terms import TraceEstimate


@dataclass(frozen=True)
class Rescaled(TraceEstimate):
    """The trace after a rescaling by `alpha`; `logit_change` is the largest change of a logit, due to rounding."""

    alpha: float
    logit_change: float


@takes_names
def rescaled(model: LanguageModel, alpha: float) -> LanguageModel:
    """A copy of the model with rescaled weights and, up to rounding, the same logits. The module says which weights.

    Args:
        model: the model, which is left unchanged.
        alpha: the factor of rescaling.

    Returns:
        The copy.

    Raises:
        InputError: for an alpha that is not positive and finite, and for a model without a known rescaling.
    """
    if not 0 < alpha < float("inf"):
        raise InputError(f"alpha is {alpha}, expected a positive number; correct it")
    other = copy.deepcopy(model)
    done = False
    with torch.no_grad():
        for module in other.modules():
            if isinstance(module, Block):
                _rescale_block(module, alpha)
                done = True
            elif isinstance(module, Layer):
                _scale(module.norm.parameters(), alpha)
                _scale(_input_weights(module.lstm, 0), 1 / alpha)
                done = True
        if isinstance(other, Lstm):
            _scale([other.words.embedding.weight], alpha)
            _scale([*_input_weights(other.lstm, 0), *other.join.parameters()], 1 / alpha)
            done = True
    if not done:
        raise InputError(f"model '{model.name}': no rescaling of its weights is known; take a network")
    return other


def _rescale_block(block: Block, alpha: float) -> None:
    attention = block.attention
    if block.pre:
        _scale([*block.attention_norm.parameters(), *block.mlp_norm.parameters()], alpha)
        _scale([part.weight for part in (attention.query, attention.key, attention.value, block.up)], 1 / alpha)
    _scale(attention.value.parameters(), alpha)
    _scale([attention.out.weight], 1 / alpha)


def _input_weights(lstm: nn.LSTM, layer: int) -> list[Tensor]:
    return [getattr(lstm, f"weight_ih_l{layer}{end}") for end in ("", "_reverse")]


def _scale(parameters: Iterable[Tensor], factor: float) -> None:
    for parameter in parameters:
        parameter.mul_(factor)


@takes_names
def trace_under_rescaling(
    model: LanguageModel,
    sentences: Sentences,
    alphas: tuple[float, ...] = (0.5, 1.0, 2.0),
    method: str = "random-factor",
    draws: int = 1,
    seed: int = 0,
    masking: str = "one",
    *,
    probes: int = 100,
    targets: str = "sampled",
    language: Language | None = None,
) -> list[Rescaled]:
    """Tr(H) of the same function in several parametrisations, over the same contexts and random numbers.

    Args:
        model: the model.
        sentences: as in `hessian_trace`. The same holds for all further arguments except `alphas`.
        alphas: factors of rescaling.
        method: the measure.
        draws: words or random combinations a context.
        seed: the seed of hidden positions and random choices.
        masking: "one", "bernoulli:p" or "next".
        probes: random vectors.
        targets: "sampled" or "exact".
        language: the language of the sentences, needed for the truth.

    Returns:
        The trace for each alpha.

    Raises:
        InputError: as `rescaled` and `hessian_trace` do, for an alpha given twice, and for a trace that is not finite.
    """
    if len(set(alphas)) < len(alphas):
        raise InputError(f"scales are {list(alphas)}, expected each once; remove the repeated one")
    others = [rescaled(model, alpha).eval() for alpha in alphas]
    found = []
    for alpha, other in zip(alphas, others, strict=True):
        trace = hessian_trace(
            other, sentences, method, draws, seed, masking, probes=probes, targets=targets, language=language
        )
        change = logit_change(model, other, sentences, seed, masking)
        if not math.isfinite(trace.value):
            raise InputError(f"alpha {alpha:g}: Tr(H) is not finite there; give a scale closer to 1")
        found.append(Rescaled(trace.value, trace.stderr, trace.n, trace.blocks, alpha, change))
    return found


@torch.no_grad()
def logit_change(model: LanguageModel, other: LanguageModel, sentences: Sentences, seed: int, masking: str) -> float:
    """max |z - z'| over the contexts of the first hundred sentences, with z and z' the two models' logits."""
    model.eval()
    some = sentences[:100]
    batch = contexts_of(model, some, masking, random_stream(seed, "flatness", device=some.tokens.device))
    one, two = (each.logits_at(batch.inputs, batch.rows, batch.positions) for each in (model, other))
    return float((one - two).abs().max())


@flatness_measures.register("invariance")
@dataclass(frozen=True)
class Invariance(FlatnessMeasure):
    """The Gauss-Newton trace of the same function with rescaled weights: block 0.5, 0.5/embedding, ...

    Args:
        draws: random combinations a context.
        scales: factors of rescaling.
    """

    draws: int = 1
    scales: list[float] = field(default_factory=lambda: [0.5, 1.0, 2.0])

    what = "rescaled_trace"

    def __post_init__(self) -> None:
        at_least("draws", self.draws, 1)
        check_positive("scales", self.scales)

    @override
    def measure(self, model: LanguageModel, problem: Problem) -> Iterator[Measurement]:
        """The trace at each scale. Rows also hold the scale and the largest change of a logit, due to rounding."""
        where = (problem.seed, problem.masking)
        for found in trace_under_rescaling(
            model, problem.sentences, tuple(self.scales), "random-factor", self.draws, *where, language=problem.language
        ):
            more = {"alpha": found.alpha, "logit_change": found.logit_change}
            yield from in_blocks(found, f"{found.alpha:g}", more)
