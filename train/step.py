"""One optimiser step."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, nullcontext
from threading import Event
from typing import NamedTuple

import torch
from torch import Tensor

from ..errors import StoppedError
from ..generators import Sentences
from ..generators.batches import Stream
from ..generators.sentences import Batch
from ..models import LanguageModel
from ..models.ops.fast_linear import FastProducts
from ..models.ops.lstm_bf16 import needs_plain_lstm, plain_lstm
from ..randomness import derive_seed
from .adversary import Adversary
from .config import TrainConfig
from .losses import MaskedLoss
from .microbatch import even_parts, number_of_parts, parts_of, passes
from .parallel.world import World


class Made(NamedTuple):
    """The data of a step.

    Args:
        batch: the sentences.
        truth: the exact conditional of each prediction; None if the objective does not need it.
        least: the minimum of the sum of the losses; None if the objective does not define it.
    """

    batch: Batch
    truth: Tensor | None = None
    least: Tensor | None = None


class Taken(NamedTuple):
    """The result of a step, on the device.

    Args:
        loss: the loss before the update.
        words: the number of words read.
        excess: the loss minus its minimum, an estimate of KL(truth || model); None if the objective defines no minimum.
    """

    loss: Tensor
    words: Tensor
    excess: Tensor | None


LOOK_AGAIN = 0.2
"""Seconds between two checks for a stop while a step waits for its batch."""


class Stepper:
    """Takes step k, a function of only (seed, k), the weights, the optimiser's state and the adversary's strength.

    A single process on a CPU splits a large batch into parts, which give the same gradient up to rounding. With
    micro_batch, every process does so on any device. A single process on a CPU also calls stops() before each part.
    When that returns True, it abandons the step with StoppedError; the weights and the optimiser's state then remain
    those of step k - 1.

    Args:
        model: the model, trained in place.
        optimizer: updates the weights.
        stream: gives the batch of each step.
        config: the settings.
        adversary: adds its loss to the steps; None without one.
        world: the processes that train together.
        stops: called between parts; True stops the step.
    """

    def __init__(
        self,
        model: LanguageModel,
        optimizer: torch.optim.Optimizer,
        stream: Stream,
        config: TrainConfig,
        adversary: Adversary | None,
        world: World,
        stops: Callable[[], bool] = lambda: False,
    ) -> None:
        self.model, self.optimizer, self.stream, self.config = model, optimizer, stream, config
        self.adversary, self.world = adversary, world
        self.device = next(model.parameters()).device
        self.on_cpu = self.device.type == "cpu"
        self.alone = self.on_cpu and world.size == 1
        self.stops: Callable[[], bool] = stops if self.alone else lambda: False
        self.eager_cpu = self.on_cpu and not config.compile
        # On a GPU and in compiled code, fixed shapes gain more than padding costs.
        model.packs = self.eager_cpu
        self.plain_lstm = needs_plain_lstm(model, config.precision, self.device.type)
        self.maker, self.ended = ThreadPoolExecutor(1), Event()
        self.ahead: dict[int, Future[Made]] = {}
        self.objective = config.objective
        loss: torch.nn.Module = MaskedLoss(model, self.objective)
        if config.compile:
            loss.compile(mode=compilation(self.device.type, stream.masking))
        self.loss = world.wrap(loss)

    def __call__(self, step: int, rate: float | None = None) -> Taken:
        """Takes a step.

        Args:
            step: its number, from 1.
            rate: learning rate; by default that of the schedule before saturation.

        Returns:
            Its loss, its number of words and, if defined, its excess loss.
        """
        peak = self.config.learning_rate(step) if rate is None else rate
        for group in self.optimizer.param_groups:
            group["lr"] = peak * group.get("lr_ratio", 1.0)
        batch, truth, least = self._data(step)
        words = (batch.inputs != self.model.pad_id).sum()
        # DDP averages the gradients over the processes, while each process holds a part of the sum.
        count = max(1, len(batch.targets)) / self.world.size
        drawn = self.adversary.draw(step) if self.adversary is not None and self.adversary.strength > 0 else None
        number, pieces = self._parts(words, len(batch.inputs)), self._pieces(drawn)
        share = self.world.share(batch, truth)
        self.model.train()
        if number == pieces == 1:
            loss = self._at_once(step, *share, count, drawn)
        else:
            split = parts_of if self.config.micro_batch is None else even_parts
            loss = self._in_parts(step, split(*share, number), count, drawn, pieces)
        self.optimizer.step()
        loss = self.world.mean(loss)
        return Taken(loss, words, None if least is None else loss - least / max(1, len(batch.targets)))

    def end(self) -> None:
        """Abandons the batch that is being prepared for the next step."""
        self.ended.set()

    def _at_once(
        self, step: int, batch: Batch, truth: Tensor | None, count: float, drawn: tuple[Sentences, Tensor] | None
    ) -> Tensor:
        """Sets the gradients of this step from the whole batch, and returns its loss."""
        with self._randomness(step), self._arithmetic():
            loss: Tensor = self.loss(batch, truth, count)
            goal = loss
            if self.adversary is not None and drawn is not None:
                goal = loss - self.adversary.strength * self.adversary.loss_on(*drawn)
        self.optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(goal)
        return loss.detach()

    def _in_parts(
        self,
        step: int,
        parts: list[tuple[Batch, Tensor | None]],
        count: float,
        drawn: tuple[Sentences, Tensor] | None,
        pieces: int,
    ) -> Tensor:
        """Does the same as `_at_once`, part by part. Each part draws its own dropout."""
        self.optimizer.zero_grad(set_to_none=True)
        total = torch.zeros((), device=self.device)

        @contextmanager
        def within(part: int) -> Iterator[None]:
            if self.stops():
                raise StoppedError(f"stopped in step {step}", "take it again")
            with self._randomness(step, part), self._arithmetic():
                yield

        def ascend() -> None:
            if self.adversary is not None and drawn is not None:
                self.adversary.ascend(*drawn, pieces, lambda piece: within(len(parts) + piece))

        # Processes add up their gradients in the last backward pass, so all other passes must precede it.
        if self.world.size > 1:
            ascend()
        for number, (part, truth) in enumerate(parts):
            with nullcontext() if number == len(parts) - 1 else self.world.apart(self.loss):
                with within(number):
                    loss = self.loss(part, truth, count)
                torch.autograd.backward(loss)
            total = total + loss.detach()
        if self.world.size == 1:
            ascend()
        return total

    def _parts(self, words: Tensor, sentences: int) -> int:
        if self.config.micro_batch is not None:
            return passes(sentences, self.config.micro_batch, self.world.size)
        return number_of_parts(self.model, int(words)) if self.alone else 1

    def _pieces(self, drawn: tuple[Sentences, Tensor] | None) -> int:
        """Returns the number of parts in which each process reads the adversary's sentences, all of them."""
        if drawn is None:
            return 1
        if self.config.micro_batch is not None:
            return passes(len(drawn[0]), self.config.micro_batch, 1)
        return self._parts(drawn[0].lengths.sum(), len(drawn[0]))

    def _data(self, step: int) -> Made:
        """Returns the data of a step. On a CPU, a thread meanwhile prepares the next step's data."""
        made = self._waited_for(self.ahead.pop(step)) if step in self.ahead else self._make(step, self.stops)
        if self.on_cpu and step < self.config.steps:
            self.ahead = {step + 1: self.maker.submit(self._make, step + 1, self.ended.is_set)}
        return made

    def _waited_for(self, made: Future[Made]) -> Made:
        while not made.done():
            if self.stops():
                raise StoppedError("stopped while a batch was made", "make it again")
            wait([made], LOOK_AGAIN)
        return made.result()

    def _make(self, step: int, stops: Callable[[], bool]) -> Made:
        batch = self.stream.batch(step)
        if not self.objective.needs_truth:
            return Made(batch)
        truth = self.stream.truth(batch, stops if self.on_cpu else None)
        return Made(batch, truth, self.objective.least(truth))

    @contextmanager
    def _randomness(self, step: int, part: int = 0) -> Iterator[None]:
        """Seeds torch's global random state, from which dropout draws, and restores it afterwards."""
        devices = [self.device.index or 0] if self.device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices, enabled=self.config.dropout > 0):
            if self.config.dropout > 0:
                index = (
                    (step, self.world.rank, part) if part else (step, self.world.rank) if self.world.rank else (step,)
                )
                torch.manual_seed(derive_seed(self.config.seed, "dropout", *index))
            yield

    @contextmanager
    def _arithmetic(self) -> Iterator[None]:
        """Sets the precision of the run and selects its fastest products."""
        with (
            torch.autocast(self.device.type, torch.bfloat16, enabled=self.config.precision == "bf16"),
            FastProducts() if self.eager_cpu else nullcontext(),
            plain_lstm() if self.plain_lstm else nullcontext(),
        ):
            yield


def compilation(device: str, masking: str) -> str:
    """Returns the mode of torch.compile. CUDA graphs need fixed shapes, which one hidden word per sentence gives."""
    if device == "cpu":
        return "max-autotune-no-cudagraphs"
    return "reduce-overhead" if masking == "one" else "default"
