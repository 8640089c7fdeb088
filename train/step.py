"""One optimiser step."""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

import torch
from torch import Tensor

from ..generators.stream import Batch, Stream
from ..models import MaskedLM
from ..randomness import derive_seed
from .adversary import Adversary
from .config import TrainConfig
from .objective import MaskedLoss
from .world import World


class Stepper:
    """Does step k: what happens depends on (seed, k), the weights and the optimiser's state alone."""

    def __init__(
        self,
        model: MaskedLM,
        optimizer: torch.optim.Optimizer,
        stream: Stream,
        config: TrainConfig,
        adversary: Adversary | None,
        world: World,
    ) -> None:
        self.model, self.optimizer, self.stream, self.config = model, optimizer, stream, config
        self.adversary, self.world = adversary, world
        self.device = next(model.parameters()).device
        # Elsewhere fixed shapes are worth more than the padding's work.
        model.packs = self.device.type == "cpu" and not config.compile
        self.maker = ThreadPoolExecutor(1)
        self.ahead: dict[int, Future[tuple[Batch, Tensor | None]]] = {}
        loss: torch.nn.Module = MaskedLoss(model)
        if config.compile:
            mode = "max-autotune-no-cudagraphs" if self.device.type == "cpu" else "reduce-overhead"
            loss.compile(mode=mode)
        self.loss = world.wrap(loss)

    def __call__(self, step: int) -> tuple[Tensor, Tensor]:
        """(the loss of the step, the number of words it read), both on the device."""
        config, world = self.config, self.world
        for group in self.optimizer.param_groups:
            group["lr"] = config.learning_rate(step)
        batch, truth = self._data(step)
        words = (batch.inputs != self.model.pad_id).sum()
        mine, mine_truth = world.share(batch, truth)
        self.model.train()
        with self._randomness(step), self._precision():
            # Gradients are averaged over the processes, and each holds a part of the sum.
            loss = self.loss(mine, mine_truth, max(1, len(batch.targets)) / world.size)
            goal = loss
            if self.adversary is not None and self.adversary.strength > 0:
                goal = loss - self.adversary.strength * self.adversary.loss(step)
        self.optimizer.zero_grad(set_to_none=True)
        goal.backward()
        self.optimizer.step()
        return world.mean(loss.detach()), words

    def _data(self, step: int) -> tuple[Batch, Tensor | None]:
        """The batch of a step, and its truth where that is learned. A CPU makes the next one while it works on this."""
        made = self.ahead.pop(step).result() if step in self.ahead else self._make(step)
        if self.device.type == "cpu" and step < self.config.steps:
            self.ahead = {step + 1: self.maker.submit(self._make, step + 1)}
        return made

    def _make(self, step: int) -> tuple[Batch, Tensor | None]:
        batch = self.stream.batch(step)
        return batch, self.stream.truth(batch) if self.config.targets == "exact" else None

    @contextmanager
    def _randomness(self, step: int) -> Iterator[None]:
        """Dropout draws from torch's global state, which is given back as it was."""
        devices = [self.device.index or 0] if self.device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices, enabled=self.config.dropout > 0):
            if self.config.dropout > 0:
                torch.manual_seed(
                    derive_seed(self.config.seed, "dropout", step, *([self.world.rank] if self.world.rank else []))
                )
            yield

    def _precision(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.config.precision == "bf16")
