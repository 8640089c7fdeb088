"""The processes that train one model together, and the share of each in a step.

torchrun starts them, on one or several machines, and identifies each by the environment variables RANK, WORLD_SIZE and
LOCAL_RANK (its rank on its machine). Numbers and flags on the CPU travel by gloo, gradients on GPUs by NCCL.
"""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from typing_extensions import override

from ...errors import InputError, WorkerError
from ...generators.sentences import Batch
from ...models import LanguageModel
from ...system.library_words import is_lost_peer
from ..optimizer_state import flattened, load_flattened

PATIENCE = 10
"""Seconds to wait for the store that records whether another process has already reported its error."""


@dataclass(frozen=True)
class World:
    """Process `rank` of `size`. Every process makes the whole batch of a step and trains on its share of the sentences.

    So the training data do not depend on the number of processes, and neither do losses and gradients, up to rounding.
    With dropout they do, because each process draws its own.

    Args:
        rank: number of this process, from 0.
        size: number of processes.
        local_rank: number of this process on its machine, from 0.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0

    @classmethod
    def from_environment(cls) -> "World":
        """Reads the environment variables of torchrun. Without them, returns a world of one process.

        Returns:
            The world.

        Raises:
            InputError: for variables that contradict each other.
        """
        given = {name: os.environ.get(name) for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK")}
        if given["RANK"] is None or given["WORLD_SIZE"] is None:
            return cls()
        try:
            rank, size, local = (int(value or 0) for value in given.values())
        except ValueError:
            rank, size, local = -1, 0, 0
        if not (0 <= rank < size and 0 <= local < size):
            shown = ", ".join(f"{name} {value}" for name, value in given.items())
            raise InputError(f"environment: {shown}: expected integers, RANK below WORLD_SIZE; use torchrun")
        return cls(rank, size, local)

    @property
    def first(self) -> bool:
        """Whether this is the process that writes files and messages."""
        return self.rank == 0

    def device(self, name: str) -> str:
        """Returns the device of this process. Several processes each take their own GPU.

        Args:
            name: cpu or cuda; a single process may also give an index, such as cuda:1.

        Returns:
            The device, such as cuda:1.

        Raises:
            InputError: if there is no such device, or not one for each process.
        """
        if name == "cpu":
            return name
        if not (name.startswith("cuda") and torch.cuda.is_available()):
            raise InputError(
                f"device '{name}' is not available, expected cpu or, with a GPU, cuda; choose another --device"
            )
        without_tf32(name)
        if self.size == 1:
            return name
        if name != "cuda":
            raise InputError(f"device '{name}' for {self.size} processes, expected cuda: each takes its own; give that")
        if self.local_rank >= torch.cuda.device_count():
            raise InputError(
                f"{torch.cuda.device_count()} GPUs for more than {self.local_rank} processes, expected one for each; "
                "give a smaller --nproc-per-node"
            )
        torch.cuda.set_device(self.local_rank)
        return f"cuda:{self.local_rank}"

    def share(self, batch: Batch, truth: Tensor | None) -> tuple[Batch, Tensor | None]:
        """Returns the sentences rank, rank + size, ... of a batch, with their predictions and truth."""
        if self.size == 1:
            return batch, truth
        part, which = batch.select(slice(self.rank, None, self.size))
        return part, None if truth is None else truth[which]

    def wrap(self, module: nn.Module) -> nn.Module:
        """Wraps a module so that its gradients are means over the processes. Those of a sharded module already are."""
        if self.size == 1 or any(hasattr(part, "unshard") for part in module.modules()):
            return module
        return nn.parallel.DistributedDataParallel(module, gradient_as_bucket_view=True)

    def apart(self, wrapped: nn.Module) -> AbstractContextManager[None]:
        """Returns a context in which a module from `wrap` accumulates gradients in this process alone.

        A sharded module still averages its gradients over all processes in every pass.
        """
        if isinstance(wrapped, nn.parallel.DistributedDataParallel):
            return wrapped.no_sync()
        return nullcontext()

    def together(self, model: LanguageModel) -> LanguageModel:
        """Returns the model without gradients. The processes share each call of logits_at and get the same bits."""
        return model if self.size == 1 else _Together(model, self)

    def mean(self, value: Tensor) -> Tensor:
        """Returns the mean of a number over the processes."""
        if self.size == 1:
            return value
        value = value.clone()
        dist.all_reduce(value)
        return value / self.size

    def any(self, flag: bool) -> bool:
        """Whether the flag is set in any process."""
        if self.size == 1:
            return flag
        flags = torch.tensor(int(flag))
        dist.all_reduce(flags, dist.ReduceOp.MAX)
        return bool(flags)

    def barrier(self) -> None:
        """Waits until all processes have arrived."""
        self.any(False)

    def broadcast(self, value: Any) -> Any:
        """Returns the value of the first process, which must be serialisable as JSON."""
        if self.size == 1:
            return value
        content = torch.frombuffer(bytearray(json.dumps(value).encode()), dtype=torch.uint8)
        length = torch.tensor(len(content))
        dist.broadcast(length, 0)
        content = content if self.first else content.new_empty(int(length))
        dist.broadcast(content, 0)
        return json.loads(content.numpy().tobytes())

    def broadcast_state(self, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        """Copies the weights and the optimiser's state of the first process to all others."""
        if self.size == 1:
            return
        for weight in model.state_dict().values():
            dist.broadcast(weight, 0)
        own = flattened(optimizer)
        described = [(key, list(value.shape), str(value.dtype).removeprefix("torch.")) for key, value in own.items()]
        tensors: dict[str, Tensor] = {}
        for key, shape, dtype in self.broadcast(described):
            tensors[key] = own[key].cpu() if self.first else torch.empty(shape, dtype=getattr(torch, dtype))
            dist.broadcast(tensors[key], 0)
        if not self.first:
            load_flattened(optimizer, tensors)

    def check_same(self, config: Mapping[str, Any], inputs: Tensor) -> None:
        """Checks that all processes have the same settings and the same batch.

        Args:
            config: the settings.
            inputs: the tokens of a batch.

        Raises:
            InputError: if settings or batches differ.
        """
        seen = [dict(config), hashlib.sha256(inputs.cpu().numpy().tobytes()).hexdigest()]
        if self.any(json.loads(json.dumps(seen)) != self.broadcast(seen)):
            raise InputError(
                f"the {self.size} processes have different settings or sentences, expected the same everywhere: the "
                "same command and files, the same satlab and GPUs of one kind; correct it"
            )


def without_tf32(device: str) -> None:
    """Makes cuDNN, and so LSTMs, multiply in full float32 on a GPU, as all other products do. No effect on a CPU."""
    if torch.device(device).type == "cuda":
        torch.backends.cudnn.allow_tf32 = False


class _Together(LanguageModel):
    """A model whose predictions are computed by all processes together."""

    def __init__(self, model: LanguageModel, world: World) -> None:
        super().__init__()
        self.model, self.world = model, world

    @override
    def features(self, tokens: Tensor) -> Tensor:
        return self.model.features(tokens)

    @override
    def logits(self, features: Tensor) -> Tensor:
        return self.model.logits(features)

    @override
    @torch.no_grad()
    def logits_at(self, tokens: Tensor, rows: Tensor, positions: Tensor) -> Tensor:
        # A sum with zeros joins the shares exactly. A process without a share computes the first prediction in vain.
        mine = torch.arange(self.world.rank, len(rows), self.world.size, device=rows.device)
        idle = len(mine) == 0
        mine = mine.new_zeros(1) if idle else mine
        read, inverse = torch.unique(rows[mine], return_inverse=True)
        found = self.model.logits_at(tokens[read], inverse, positions[mine])
        logits = found.new_zeros(len(rows), found.shape[1])
        if not idle:
            logits[mine] = found
        dist.all_reduce(logits)
        return logits


@contextmanager
def joined() -> Iterator[World]:
    """Joins the processes that torchrun started, for the duration of a block. All processes leave it together.

    Yields:
        The world.

    Raises:
        InputError: if the processes do not find one another.
        WorkerError: if another process is lost.
        RuntimeError: if the block raises one.
    """
    world = World.from_environment()
    if world.size == 1:
        yield world
        return
    try:
        gpus = torch.cuda.is_available() and dist.is_nccl_available()
        dist.init_process_group("cpu:gloo,cuda:nccl" if gpus else "gloo")
    except (RuntimeError, ValueError, OSError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(
            f"process {world.rank} of {world.size}: cannot reach the others ({reason}); use torchrun"
        ) from None
    try:
        yield world
        world.barrier()
    except RuntimeError as error:
        if isinstance(error, dist.DistError) or is_lost_peer(error):
            raise WorkerError(
                "another process of this training has stopped; run the same command again to go on"
            ) from None
        raise
    # Not after an exception: this would wait for the other processes, and they may wait for this one.
    dist.destroy_process_group()


def has_the_word() -> bool:
    """Whether this process should report its error. Among several processes, only the first to ask should."""
    if os.environ.get("RANK") is None or os.environ.get("WORLD_SIZE", "1") == "1":
        return True
    try:
        host, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
        # torch documents TCPStore, but leaves it out of the names that the module exports.
        store = dist.TCPStore(  # type: ignore[attr-defined]
            host, port, is_master=False, wait_for_workers=False, timeout=timedelta(seconds=PATIENCE)
        )
        return bool(store.add("last words " + os.environ.get("TORCHELASTIC_RESTART_COUNT", "0"), 1) == 1)
    except (KeyError, ValueError, RuntimeError):
        return os.environ.get("RANK") == "0"
