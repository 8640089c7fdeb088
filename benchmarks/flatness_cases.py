"""One case of flatness.py in a process of its own: python flatness_cases.py RUN CASE.

For each line on stdin, a number of seconds, it works about as long and answers with one line of JSON. n: contexts, or
probes on a batch of contexts; mean and variance of their terms; seconds: of the work alone; before_mb and peak_mb: the
most memory resident before all work, and so far.
"""

import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from satlab.flatness import hessian_trace
from satlab.generators import Language
from satlab.generators.batches import Batch, Stream
from satlab.lab.runs.run import load_run
from satlab.models import LanguageModel, load_model
from satlab.randomness import random_stream

Terms = Iterator[tuple[int, float, float]]
"""(number of independent terms, their mean, their variance; nan where there is one term) again and again."""


def resident_megabytes() -> float:
    """The most so far."""
    return float(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) / 1e3


def library(model: LanguageModel, language: Language, seed: int, method: str) -> Terms:
    step = 0
    while True:
        step += 1
        sentences = language.sample(1000, random_stream(seed, "evaluation", step), latents=False)
        found = hessian_trace(model, sentences, method, seed=1000 * seed + step, language=language, probes=20)
        yield found.n, found.value, found.stderr**2 * found.n


def one_gradient_at_a_time(model: LanguageModel, language: Language, seed: int, draws: int = 50) -> Terms:
    """|| grad log f(v) ||^2 of 50 words v ~ f a context, by autograd (Liu et al. 2022, B.1)."""
    stream, generator, step = Stream(language, 1, seed), random_stream(seed, "flatness"), 0
    parameters = list(model.parameters())
    while True:
        step += 1
        batch = stream.batch(step)
        log_f = model.logits_at(batch.inputs, batch.rows, batch.positions).log_softmax(1)[0]
        total = 0.0
        for word in log_f.exp().multinomial(draws, replacement=True, generator=generator):
            gradient = torch.autograd.grad(log_f[word], parameters, retain_graph=True)
            total += float(sum(part.square().sum() for part in gradient))
        yield 1, total / draws, float("nan")


def gaussian(model: LanguageModel, language: Language, seed: int, size: int) -> Terms:
    """v . (H v) for v ~ N(0, 1), H the Hessian of the loss of a batch, as automatic differentiation gives it."""
    stream, generator, step = Stream(language, size, seed), random_stream(seed, "flatness"), 0
    parameters = list(model.parameters())
    while True:
        step += 1
        batch = stream.batch(step)
        with sdpa_kernel(SDPBackend.MATH):
            loss = F.cross_entropy(model.logits_at(batch.inputs, batch.rows, batch.positions), batch.targets)
            first = torch.autograd.grad(loss, parameters, create_graph=True)
            v = [torch.randn(p.shape, generator=generator) for p in parameters]
            second = torch.autograd.grad(first, parameters, v)
        yield 1, float(sum((a * b).sum() for a, b in zip(second, v, strict=True))), float("nan")


class Network(nn.Module):
    """The logits at one position a sentence; the position is the last column of what it is given."""

    def __init__(self, model: LanguageModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, given: Tensor) -> Tensor:
        out: Tensor = self.model.logits_at(given[:, :-1], torch.arange(len(given)), given[:, -1])
        return out


def curvlinops(model: LanguageModel, language: Language, seed: int, case: str) -> Terms:
    """A fresh batch, an operator of it, and its trace as the library estimates it: one independent term a batch."""
    import curvlinops as library

    kind, estimator, sizes = case.removeprefix("curvlinops ").split(", ")
    operator = {"GGN": library.GGNLinearOperator, "Hessian": library.HessianLinearOperator}[kind]
    estimate: Callable[..., Tensor] = getattr(library, estimator)
    size, _, products = sizes.partition(" x ")
    network, step = Network(model), 0
    parameters, stream = list(network.parameters()), Stream(language, int(size), seed)
    torch.manual_seed(seed)
    while True:
        step += 1
        batch: Batch = stream.batch(step)
        data = [(torch.cat([batch.inputs, batch.positions[:, None]], 1), batch.targets)]
        with sdpa_kernel(SDPBackend.MATH):
            matrix = operator(network, nn.CrossEntropyLoss(), parameters, data, check_deterministic=False)
            yield 1, float(estimate(matrix, int(products or 1))), float("nan")


def terms_of(case: str, model: LanguageModel, language: Language, seed: int) -> Terms:
    if case.startswith("curvlinops"):
        return curvlinops(model, language, seed, case)
    if case.startswith("Gaussian"):
        return gaussian(model, language, seed, int(case.rsplit(" ", 1)[1]))
    if case.startswith("one gradient"):
        return one_gradient_at_a_time(model, language, seed)
    return library(model, language, seed, case)


def worked(terms: Terms, seconds: float) -> dict[str, float]:
    begin, found = time.perf_counter(), []
    while time.perf_counter() - begin < seconds or len(found) < 2:
        found.append(next(terms))
    taken = time.perf_counter() - begin
    means = torch.tensor([mean for _, mean, _ in found], dtype=torch.float64)
    variances = torch.tensor([variance for _, _, variance in found], dtype=torch.float64)
    variance = means.var() if bool(variances.isnan().any()) else variances.mean()
    count = sum(n for n, _, _ in found)
    return {"n": count, "mean": float(means.mean()), "variance": float(variance), "seconds": taken}


def main() -> None:
    folder, case = sys.argv[1:]
    model, language = load_model(folder), load_run(Path(folder)).language
    terms = terms_of(case, model, language, 1)
    language.sample(100, random_stream(0, "evaluation"), latents=False)
    before = resident_megabytes()
    next(terms)
    print("ready", flush=True)
    for line in sys.stdin:
        found = worked(terms, float(line))
        print(json.dumps(found | {"before_mb": before, "peak_mb": resident_megabytes()}), flush=True)


if __name__ == "__main__":
    main()
