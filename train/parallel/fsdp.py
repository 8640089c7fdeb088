"""Splits weights, gradients and optimiser state over the processes, for models too large for one GPU (FSDP2).

Each block of a transformer is gathered before its use and released afterwards (Zhao et al. 2023). Checkpoints hold the
whole model, so files do not depend on the number of processes.
"""

from typing import Any

import torch
from torch import Tensor, nn

from ...errors import InputError
from ...models import LanguageModel
from ...models.build import dropout_of, make_model
from ..config import TrainConfig
from .world import World

Optimizer = torch.optim.Optimizer


def blocks_of(model: LanguageModel) -> list[nn.Module]:
    """Returns the blocks of a model.

    Raises:
        InputError: for a model that is not a stack of transformer blocks.
    """
    blocks = getattr(model, "blocks", None)
    if not isinstance(blocks, nn.ModuleList):
        raise InputError(
            f"sharding 'fsdp' of model '{model.name}', expected one of transformer blocks (bert, bert-post, gpt); "
            "set sharding to ddp"
        )
    return list(blocks)


def shard(
    model: LanguageModel, optimizer: Optimizer, config: TrainConfig, world: World, device: torch.device
) -> Optimizer:
    """Distributes the model over the processes, in place. Returns a new optimiser with the state of the given one."""
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard, register_fsdp_forward_method
    from torch.distributed.tensor import DTensor, distribute_tensor

    mesh = init_device_mesh(device.type, (world.size,))
    moments = {name: optimizer.state[parameter] for name, parameter in model.named_parameters()}
    for block in blocks_of(model):
        fully_shard(block, mesh=mesh)
        register_fsdp_forward_method(block, "at")
    fully_shard(model, mesh=mesh, reshard_after_forward=True)
    register_fsdp_forward_method(model, "logits_at")
    sharded = config.optimizer_entry.build(model, sharded=True)
    for name, parameter in model.named_parameters():
        assert isinstance(parameter, DTensor)
        for key, value in moments[name].items():
            alike, here = value.shape == parameter.shape, value.to(device)
            sharded.state[parameter][key] = distribute_tensor(here, mesh, parameter.placements) if alike else here
    return sharded


def whole(
    model: LanguageModel, optimizer: Optimizer, config: TrainConfig, world: World
) -> tuple[LanguageModel, Optimizer] | None:
    """Gathers model and optimiser on the CPU of the first process. Returns None in the others, which only send."""
    weights = {name: _gathered(value, world) for name, value in model.state_dict().items()}
    state: dict[int, dict[str, Any]] = {}
    for i, entry in optimizer.state_dict()["state"].items():
        state[i] = {name: _gathered(value, world) for name, value in entry.items()}
    if not world.first:
        return None
    plain = make_model(model.name, model.vocab_size, model.max_length, dropout_of(model))
    plain.load_state_dict(weights, assign=True)
    fresh = config.optimizer_entry.build(plain)
    fresh.load_state_dict({"state": state, "param_groups": fresh.state_dict()["param_groups"]})
    return plain, fresh


def _gathered(value: Tensor, world: World) -> Tensor:
    """Returns the whole tensor on the CPU of the first process; an empty one in the others."""
    full = value.full_tensor() if hasattr(value, "full_tensor") else value
    return full.cpu() if world.first else full.new_empty(0)
