"""Runs made of recorded numbers alone, without a trained model."""

import json
import zlib

from satlab.lab.runs.run import create_run
from satlab.train import TrainConfig

CONFIG = TrainConfig(steps=40, batch_size=8, evaluation_sentences=50, threshold=0.05)
STEPS = (10, 20, 40)


def metrics(step, kl):
    row = {"step": step, "loss": 2.0, "kl": kl, "kl_stderr": 0.01, "kl_upper95": kl + 0.0164, "floor": 1.5}
    return row | {"floor_stderr": 0.1, "n": 50, "lr": 0.1, "saturated": kl < 0.03, "tokens_per_second": 9.0}


def result(model, step, what, value, stderr=0.01, **more):
    row = {"model": model, "seed": 0, "step": step, "what": what, "method": None, "value": value, "stderr": stderr}
    return row | {"n": 3, "unit": "", "settings": "{}", "seconds": 1.0, "satlab": "0.1.0", "parameters": 1234} | more


def results(model, task="state-4"):
    """A recorded run: per step a KL, a trace with its blocks and a probe, and the three baselines."""
    rows = []
    for i, step in enumerate(STEPS):
        rows.append(result(model, step, "kl", 0.5 / (i + 1) ** 3, method="exact-truth"))
        for block, value in (("total", 100.0 * (i + 1)), ("weight", 60.0 * (i + 1)), ("bias", 40.0 * (i + 1))):
            rows.append(result(model, step, "hessian_trace", value, 2.5, method="sampled-gradient", block=block))
        rows.append(result(model, step, "probe", 0.5 + 0.1 * i, 0.02, method="linear", task=task))
    for method, value in (("majority", 0.3), ("lookup", 0.6), ("bayes", 0.75)):
        rows.append(result(None, None, "probe", value, method=method, task=task))
    return rows


def write_lines(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def make_run(folder, model="bert-1x8", rows=None, kl=(0.5, 0.1, 0.02), config=CONFIG):
    """A run of its own: the loss, which no figure shows, differs from that of a run in another directory."""
    create_run(folder, "demo-hmm", model, config)
    own = {"loss": 2.0 + zlib.crc32(str(folder).encode()) * 2.0**-42}
    write_lines(folder / "metrics.jsonl", [metrics(step, k) | own for step, k in zip(STEPS, kl, strict=True)])
    write_lines(folder / "results.jsonl", results(model) if rows is None else rows)
    return folder
