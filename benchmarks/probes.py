"""Speed of the linear probes: the optimum beside scikit-learn's, and features that are streamed from disk.

    python benchmarks/probes.py [--part optimum streamed] [--rounds 5] [--epochs 100] [--cache DIR] [--out DIR]

optimum: the same convex problem, mean -log softmax + l2/2 ||W||^2 on standardised features of a network, at several
sizes, one thread. C = 1 / (n l2). Both sides are run until no entry of the gradient is above their own tolerance; what
is compared is the time, and how far above the lowest objective of all each ends. streamed: 0.1M sentences x (32 x 768)
features that are written once and read in every epoch, all cores, in a process of its own, whose greatest resident
memory is given.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from machine import machine
from sklearn.linear_model import LogisticRegression
from torch.nn import functional as F

from satlab.generators import Language, load_language
from satlab.models import LanguageModel, build_model
from satlab.probes import AdamW, Extraction, FeatureChoice, FeatureStorage, Optimum
from satlab.probes.feature_store import Features
from satlab.probes.features import concatenated_features, extract
from satlab.probes.logistic.fit import GRADIENT_TOLERANCE, fit_logistic
from satlab.probes.logistic.streamed import fit_streamed
from satlab.probes.optimum import correct
from satlab.randomness import random_stream

L2 = 1e-4
SIZES = [(1000, 1024), (2000, 1024), (4000, 1024), (8000, 1024), (4000, 512), (4000, 2048)]
SOLVERS = {"lbfgs": 1e-5, "newton-cg": 1e-4}
"""scikit-learn's solvers for several classes, with the tolerance that ends about as near the optimum as ours."""


def problem(n: int, d: int) -> tuple[torch.Tensor, torch.Tensor, int]:
    """Standardised features [n, d] float64 of an untrained encoder over the published grammar, and labels of task A."""
    language = load_language("liu2022-pcfg")
    task = language.tasks["A"]
    sentences = task.inputs(language, n, random_stream(0, "probe", 0))
    x = concatenated_features(build_model(f"bert-1x{d // language.max_length}", language), sentences).double()
    deviation = x.std(0, correction=0)
    return torch.where(deviation > 1e-12, (x - x.mean(0)) / deviation, 0.0), task.labels(sentences), len(task.classes)


def objective(x: torch.Tensor, labels: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> tuple[float, float]:
    """(value, greatest entry of the gradient) in the plain coordinates."""
    weight, bias = weight.clone().requires_grad_(), bias.clone().requires_grad_()
    value = F.cross_entropy(x @ weight.T + bias, labels) + L2 / 2 * weight.square().sum()
    gradient = torch.autograd.grad(value, (weight, bias))
    return value.item(), max(float(part.abs().max()) for part in gradient)


def sklearn_fit(x: torch.Tensor, labels: torch.Tensor, k: int, solver: str) -> tuple[torch.Tensor, torch.Tensor]:
    fit = LogisticRegression(C=1 / (len(x) * L2), solver=solver, tol=SOLVERS[solver], max_iter=5000)
    fit.fit(x.numpy(), labels.numpy())
    # Classes that never occur have no row there; here their bias would be minus infinity.
    weight, bias = torch.zeros(k, x.shape[1]).double(), torch.full((k,), -50.0).double()
    weight[fit.classes_], bias[fit.classes_] = torch.from_numpy(fit.coef_), torch.from_numpy(fit.intercept_)
    return weight, bias


def optimum_rows(rounds: int) -> list[dict[str, Any]]:
    rows = []
    for n, d in SIZES:
        x, labels, k = problem(n, d)

        def ours(x: torch.Tensor = x, labels: torch.Tensor = labels, k: int = k) -> Any:
            probe = fit_logistic(x, labels, k, L2)
            return probe.weight, probe.bias

        def streamed(x: torch.Tensor = x, labels: torch.Tensor = labels, k: int = k) -> Any:
            features = Features(len(x))
            features.append(x.float())
            probe = fit_streamed(features, labels, k, L2)
            return probe.weight, probe.bias

        sides: dict[str, Callable[[], Any]] = {"ours": ours, "ours, streamed": streamed}
        for solver in SOLVERS:
            sides[f"scikit-learn {solver}"] = lambda x=x, labels=labels, k=k, s=solver: sklearn_fit(x, labels, k, s)
        times: dict[str, list[float]] = {side: [] for side in sides}
        ends = {}
        # The sides take turns, round after round.
        for _ in range(rounds):
            for side, fit in sides.items():
                begin = time.perf_counter()
                ends[side] = objective(x, labels, *fit())
                times[side].append(time.perf_counter() - begin)
        least = min(value for value, _ in ends.values())
        for side in sides:
            error = statistics.stdev(times[side]) / rounds**0.5 if rounds > 1 else None
            row = {
                "n": n,
                "d": d,
                "classes": k,
                "side": side,
                "seconds": statistics.fmean(times[side]),
                "stderr": error,
            }
            row |= {"rounds": rounds, "above_least": ends[side][0] - least, "gradient": ends[side][1]}
            rows.append(row)
            print(json.dumps(row), flush=True)
    return rows


class Neighbours(LanguageModel):
    """Features of a word and its neighbours, tanh of sums of random vectors: as wide as a network's, at no cost."""

    def __init__(self, language: Language, width: int) -> None:
        super().__init__()
        self.name, self.vocab_size, self.max_length = "neighbours", language.vocab_size, language.max_length
        self.feature_size = width
        generator = random_stream(0, "init")
        self.tables = [torch.randn(language.vocab_size + 3, width, generator=generator) for _ in range(3)]

    def features(self, tokens: torch.Tensor) -> torch.Tensor:
        around = F.pad(tokens, (1, 1), value=self.pad_id).unfold(1, tokens.shape[1], 1)
        return sum(table[around[:, i]] for i, table in enumerate(self.tables)).tanh_()

    def logits(self, features: torch.Tensor) -> torch.Tensor:
        raise NotImplementedError


def streamed_row(given: argparse.Namespace) -> dict[str, Any]:
    """One probe as published and, where asked, its optimum; everything timed once, in this process."""
    language = load_language("liu2022-pcfg")
    task = language.tasks["B"]
    total = given.sentences + given.test_sentences
    sentences = task.inputs(language, total, random_stream(0, "probe", 0))
    labels = task.labels(sentences)
    quick = given.model == "neighbours"
    model = Neighbours(language, 768) if quick else build_model(given.model, language)
    row: dict[str, Any] = {"model": given.model, "n": given.sentences, "classes": len(task.classes)}
    row |= {"precision": given.precision, "epochs": given.epochs, "batch_size": AdamW().batch_size}
    extraction = Extraction(precision=given.precision, storage=FeatureStorage(given.cache))

    def timed(what: str, work: Callable[[], Any]) -> Any:
        begin = time.perf_counter()
        found = work()
        row[f"{what}_seconds"] = time.perf_counter() - begin
        row["peak_gigabytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        print(json.dumps(row), file=sys.stderr, flush=True)
        return found

    def take(part: slice) -> Features:
        return extract(model, sentences[part], [FeatureChoice()], extraction.storage, extraction.precision)[
            FeatureChoice()
        ]

    train = timed("extraction", lambda: take(slice(given.sentences)))
    test = take(slice(given.sentences, total))
    row |= {"d": train.width, "gigabytes_on_disk": train.width * train.count * train.dtype.itemsize / 1e9}
    seen, unseen = labels[: given.sentences], labels[given.sentences :]
    row["majority"] = float((unseen == seen.mode().values).double().mean())
    head = timed("adamw", lambda: AdamW(epochs=given.epochs).fit(train, seen, row["classes"]))
    row["adamw_seconds_an_epoch"] = row["adamw_seconds"] / given.epochs
    row["adamw_accuracy"] = correct(head, test, unseen)
    if given.optimum:
        probe = timed("optimum", lambda: Optimum(given.l2).fit(train, seen, row["classes"]))
        row |= {"l2": given.l2, "optimum_accuracy": correct(probe, test, unseen)}
    return row


def in_a_process(arguments: list[str], threads: int) -> Any:
    """What this script prints last, run again by itself with so many threads."""
    environment = os.environ | {name: str(threads) for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")}
    line = [sys.executable, __file__, *arguments]
    done = subprocess.run(line, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--part", nargs="+", choices=("optimum", "streamed"), default=("optimum", "streamed"))
    parser.add_argument("--inside", choices=("optimum", "streamed"), help="one part, in this process")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--model", default="neighbours", help="whose features are streamed")
    parser.add_argument("--sentences", type=int, default=100_000)
    parser.add_argument("--test_sentences", type=int, default=10_000)
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--precision", default="float32", choices=("float32", "bf16"))
    parser.add_argument("--optimum", action="store_true", help="find the optimum of the streamed features as well")
    parser.add_argument("--l2", type=float, default=1e-3)
    parser.add_argument("--cache", default=None)
    parser.add_argument("--out", type=Path, default=Path("results/benchmarks"))
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    if given.inside:
        torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
        print(json.dumps(optimum_rows(given.rounds) if given.inside == "optimum" else streamed_row(given)))
        return
    file = given.out / "probes-cpu.json"
    content = json.loads(file.read_text()) if file.exists() else {"machine": machine("cpu"), "streamed": []}
    if "optimum" in given.part:
        content["optimum"] = in_a_process(["--inside", "optimum", "--rounds", str(given.rounds)], 1)
        content["tolerances"] = {"ours, in the round metric": GRADIENT_TOLERANCE} | SOLVERS
    if "streamed" in given.part:
        options = ("model", "sentences", "test_sentences", "epochs", "precision", "l2")
        more = [text for name in options for text in (f"--{name}", str(getattr(given, name)))]
        more += (["--optimum"] if given.optimum else []) + (["--cache", given.cache] if given.cache else [])
        content["streamed"].append(in_a_process(["--inside", "streamed", *more], os.cpu_count() or 1))
    given.out.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(content, indent=1) + "\n")
    print(json.dumps(content, indent=1))


if __name__ == "__main__":
    main()
