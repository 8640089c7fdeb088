"""Points of checkpoints made of numbers alone, as `points_of` gives them."""

import math

import numpy as np


def point(run, kl, trace, accuracy, step=1, **more):
    """A saturated checkpoint of bert-1x8 trained by adamw; its KL is known to 3 %."""
    row = {
        "run": run,
        "root": run,
        "step": step,
        "model": "bert-1x8",
        "algorithm": "adamw",
        "task": "A",
        "method": "linear",
    }
    row |= {"kl": kl, "kl_stderr": 0.03 * (kl or 0.0), "saturated": True, "trace": trace, "trace_stderr": 0.5}
    row |= {"enlarged": None, "enlarged_stderr": None, "accuracy": accuracy, "accuracy_stderr": 0.002}
    return row | {"satlab": "0.1.0"} | more


def world(seed, runs=12, checkpoints=4, gain=0.0, along_kl=0.0, spread=0.15):
    """Checkpoints with what each run has of its own; log2 Tr(H) and accuracy share nothing but what is given.

    gain: accuracy for a halving of Tr(H); along_kl: how far log2 Tr(H) rises, and accuracy falls, with log KL; spread:
    the standard deviation of log KL.
    """
    rng, points = np.random.default_rng(seed), []
    for run in range(runs):
        own_trace, own_accuracy = rng.standard_normal(2)
        for step in range(checkpoints):
            log_kl = spread * rng.standard_normal()
            log2_trace = own_trace + 0.5 * rng.standard_normal() + 10 * along_kl * log_kl
            accuracy = 0.01 * (own_accuracy + 0.5 * rng.standard_normal()) - gain * log2_trace - along_kl * log_kl
            points.append(point(f"r{run}", 0.004 * math.exp(log_kl), 50 * 2**log2_trace, 0.8 + accuracy, step))
    return points
