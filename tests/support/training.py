"""Short training runs on the demo HMM, and what of them must be equal to the last bit."""

from itertools import count
from pathlib import Path

import pytest
import safetensors.torch

from satlab.models import build_model
from satlab.train import TrainConfig, Trainer, checkpoints
from satlab.train.checkpoint import read_state
from support.networks import demo_hmm, same_weights
from support.words import CLOCK

SHORT = {
    "steps": 24,
    "batch_size": 8,
    "lr": 3e-3,
    "warmup": 0.2,
    "checkpoints": [8, 16],
    "evaluate_every": 3,
    "evaluate_growth": 1.0,
    "resume_every": 5,
    "evaluation_sentences": 24,
    "stop_at_saturation": False,
}


def short(**changes):
    return TrainConfig(**(SHORT | changes))


def trainer(name, config, folder=Path("nowhere"), language=None, **how):
    """The trainer of a new model; nothing is written before its rows are asked for."""
    language = demo_hmm() if language is None else language
    model = build_model(name, language, config.seed, config.dropout)
    return Trainer(model, language, config, folder, **{"clock": ticking()} | how)


def parts(name, config, language=None):
    """(model, stream, held-out sentences) of a run with this configuration, made afresh."""
    made = trainer(name, config, language=language)
    return made.model, made.stream, made.held_out


def ticking():
    """A clock that is one second later at every look."""
    return count().__next__


def running(folder, name, config, on_step=lambda step, loss: None, should_stop=lambda: False):
    """Training in progress: the iterator over its rows."""
    return trainer(name, config, folder, on_step=on_step, should_stop=should_stop).rows()


def known(folder, rows):
    """The rows without those after the last checkpoint, which whoever records them must forget before a session."""
    found = checkpoints(folder, kept_only=False)
    last = found[-1][0] if found else 0
    due = bool(found) and read_state(found[-1][1])["row_due"]
    return [row for row in rows if row["step"] <= last - due]


def session(folder, name, config, rows=(), take=None, on_step=lambda step, loss: None):
    """One session of a run, which ends after `take` rows if given; the rows known now, earlier sessions' included."""
    rows, training = known(folder, rows), running(folder, name, config, on_step)
    for number, row in enumerate(training, start=1):
        rows.append(row.as_json())
        if number == take:
            training.close()
            break
    return rows


def comparable(rows):
    """The rows without what depends on the time of day."""
    return [{k: v for k, v in row.items() if k not in CLOCK} for row in rows]


def folders(run):
    return sorted(path.name for path in (run / "checkpoints").iterdir())


def tensors_of(folder):
    """All tensors of a checkpoint: weights, their average where one is kept, and the optimiser's state."""
    kept = folder / "average.safetensors"
    averages = safetensors.torch.load_file(kept) if kept.exists() else {}
    weights = safetensors.torch.load_file(folder / "model.safetensors")
    moments = safetensors.torch.load_file(folder / "optimizer.safetensors")
    return {
        f"{what} {k}": v
        for what, found in (("model", weights), ("average", averages), ("optimizer", moments))
        for k, v in found.items()
    }


def check_same(one, rows, other, other_rows):
    assert comparable(rows) == comparable(other_rows)
    assert folders(one) == folders(other)
    for name in folders(one):
        first, second = one / "checkpoints" / name, other / "checkpoints" / name
        assert same_weights(tensors_of(first), tensors_of(second)), name
        for file in ("state.json", "model.json"):
            assert (first / file).read_text() == (second / file).read_text()


class InterruptionError(Exception):
    """What stops a session in the middle."""


def stop_at(step):
    def on_step(now, loss):
        if now == step:
            raise InterruptionError

    return on_step


def interrupted(folder, name, config, rows, step):
    """The rows on record after a session that is stopped right after this step."""
    rows, training = known(folder, rows), running(folder, name, config, stop_at(step))
    with pytest.raises(InterruptionError):
        rows.extend(row.as_json() for row in training)
    return rows
