"""The training loop. It yields rows of metrics; whoever consumes them records them before the next checkpoint is written.

Everything that happens at step k depends on (seed, k) and the weights alone, so a run that was killed and goes on from its
last checkpoint ends with the same bits as one that never stopped.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from ..errors import DivergedError
from ..generators.stream import EvaluationSet, Stream
from ..models import MaskedLM
from ..randomness import derive_seed
from . import checkpoint
from .config import TrainConfig
from .objective import kl_to_truth, masked_loss
from .saturation import SaturationRule

REMEDY = "the last good checkpoint is kept; train again with a lower lr or a longer warm-up"


@dataclass(frozen=True)
class Row:
    """Metrics after `step` steps: losses and KL in nats, loss the mean over the steps since the row before."""

    step: int
    loss: float
    kl: float
    kl_stderr: float
    kl_upper95: float
    floor: float
    floor_stderr: float
    n: int
    lr: float
    saturated: bool
    tokens_per_second: float


def make_optimizer(model: MaskedLM, config: TrainConfig) -> torch.optim.AdamW:
    """AdamW with decay on matrices alone, fused into one kernel a step."""
    matrices = [p for p in model.parameters() if p.dim() > 1]
    vectors = [p for p in model.parameters() if p.dim() <= 1]
    groups = [{"params": matrices, "weight_decay": config.weight_decay}, {"params": vectors, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=config.lr, betas=config.betas, eps=config.eps, fused=True)


def train(
    model: MaskedLM,
    stream: Stream,
    evaluation: EvaluationSet,
    config: TrainConfig,
    run: Path,
    clock: Callable[[], float],
    on_step: Callable[[int, float], None] = lambda step, loss: None,
) -> Iterator[Row]:
    """Trains the model in place, from the run's last checkpoint if it has one, until it is saturated or out of steps.

    Yields a Row every config.evaluate_every steps and at each checkpoint; the checkpoint of a step is written after its
    row has been consumed. on_step(step, loss) is called after every step.

    Raises DivergedError, with the step, where the loss is not finite; the checkpoints before it stay.
    """
    optimizer = make_optimizer(model, config)
    state = checkpoint.restore(run, model, optimizer) or {"step": 0, "finished": False}
    step, finished = int(state["step"]), bool(state["finished"])
    kept, rule, floor = set(config.kept_steps), SaturationRule(config.threshold), evaluation.floor
    losses, tokens, seconds = 0.0, 0, 0.0
    since = step
    while not finished:
        step += 1
        begin = clock()
        loss, count = _step(model, optimizer, stream, config, step)
        seconds, tokens, losses = seconds + clock() - begin, tokens + count, losses + loss
        on_step(step, loss)
        saves = step in kept or step % config.resume_every == 0
        if not saves and step % config.evaluate_every:
            continue
        kl = kl_to_truth(model, evaluation)
        if not math.isfinite(kl.value):
            raise DivergedError(f"training diverged at step {step}: KL is {kl.value}; {REMEDY}")
        saturated = rule.holds(kl)
        finished = step >= config.steps or (saturated and config.stop_at_saturation)
        mean, rate = losses / (step - since), tokens / seconds if seconds else math.nan
        lr = config.learning_rate(step)
        measured = (kl.value, kl.stderr, kl.upper95, floor.value, floor.stderr, kl.n)
        yield Row(step, mean, *measured, lr, saturated, rate)
        losses, tokens, seconds, since = 0.0, 0, 0.0, step
        if saves or finished:
            keep = step in kept or finished
            state = {"step": step, "keep": keep, "finished": finished, "kl": kl.value, "saturated": saturated}
            checkpoint.save(run, model, optimizer, state)


def _step(
    model: MaskedLM, optimizer: torch.optim.Optimizer, stream: Stream, config: TrainConfig, step: int
) -> tuple[float, int]:
    """One optimiser step: (its loss, the tokens it read)."""
    for group in optimizer.param_groups:
        group["lr"] = config.learning_rate(step)
    batch = stream.batch(step)
    model.train()
    with torch.random.fork_rng(devices=_cuda(batch.inputs), enabled=config.dropout > 0):
        if config.dropout > 0:
            torch.manual_seed(derive_seed(config.seed, "dropout", step))
        loss = masked_loss(model, batch)
    value = loss.item()
    if not math.isfinite(value):
        raise DivergedError(f"training diverged at step {step}: the loss is {value}; {REMEDY}")
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    optimizer.step()
    return value, int((batch.inputs != model.pad_id).sum())


def _cuda(tensor: torch.Tensor) -> list[int]:
    return [tensor.device.index or 0] if tensor.is_cuda else []
