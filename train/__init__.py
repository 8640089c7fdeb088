"""Training to saturation."""

from .checkpoint import checkpoints
from .config import TrainConfig
from .loop import Row, train
from .objective import kl_to_truth, masked_loss

__all__ = ["Row", "TrainConfig", "checkpoints", "kl_to_truth", "masked_loss", "train"]
