"""How long tau(B) takes to its certificate, beside cvxpy where that is installed in an environment of its own.

Usage: python benchmarks/naturalness.py [--contexts 10000] [--words 200] [--bound 8] [--losses square hinge logistic]
"""

import argparse
import json
import time

import torch

from satlab.theory.next_word.losses import LOSSES
from satlab.theory.next_word.natural import natural


def problem(contexts, words):
    """(p* [m, C], eta [m], weights [m]) of a random language whose task is nearly natural."""
    noise = torch.Generator().manual_seed(0)
    p = (-torch.rand(contexts, words, generator=noise, dtype=torch.float64).log()).pow(4)
    p /= p.sum(1, keepdim=True)
    v = torch.randn(words, generator=noise, dtype=torch.float64)
    return p, (20 * p @ v).sigmoid(), torch.full((contexts,), 1 / contexts, dtype=torch.float64)


def by_cvxpy(loss, p, eta, bound):
    """(minimum, seconds, CPU seconds) by cvxpy with its default solver; None where it is not installed."""
    try:
        import cvxpy
    except ImportError:
        return None
    v, c = cvxpy.Variable(p.shape[1]), cvxpy.Variable()
    score, y = p.numpy() @ v + c, eta.numpy()
    right = {"logistic": cvxpy.logistic(-score), "hinge": cvxpy.pos(1 - score), "square": cvxpy.square(1 - score)}
    wrong = {"logistic": cvxpy.logistic(score), "hinge": cvxpy.pos(1 + score), "square": cvxpy.square(1 + score)}
    cost = cvxpy.sum(cvxpy.multiply(y, right[loss]) + cvxpy.multiply(1 - y, wrong[loss])) / len(y)
    begin, cpu = time.perf_counter(), time.process_time()
    value = cvxpy.Problem(cvxpy.Minimize(cost), [cvxpy.abs(v) <= bound]).solve()
    return float(value), time.perf_counter() - begin, time.process_time() - cpu


def main():
    """Prints a JSON line for each loss."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--contexts", type=int, default=10_000)
    parser.add_argument("--words", type=int, default=200)
    parser.add_argument("--bound", type=float, default=8.0)
    parser.add_argument("--losses", nargs="*", default=list(LOSSES), choices=list(LOSSES), metavar="LOSS")
    given = parser.parse_args()
    torch.set_num_threads(1)
    p, eta, weights = problem(given.contexts, given.words)
    for loss in given.losses:
        begin, cpu = time.perf_counter(), time.process_time()
        found = natural(loss, p, eta, weights, given.bound, tolerance=1e-6)
        row = {"loss": loss, "contexts": given.contexts, "words": given.words, "bound": given.bound}
        row |= {"tau": found.loss, "certificate": found.loss - found.least}
        row |= {"seconds": time.perf_counter() - begin, "cpu_seconds": time.process_time() - cpu}
        other = by_cvxpy(loss, p, eta, given.bound)
        if other is not None:
            row |= {"cvxpy": other[0], "cvxpy_seconds": other[1], "cvxpy_cpu_seconds": other[2]}
        print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
