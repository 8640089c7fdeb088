"""Training to saturation."""

from .adversary import Adversary
from .checkpoint import checkpoints
from .config import TrainConfig
from .loop import Row, train
from .losses import kl_to_truth, masked_loss
from .saturation import HeldOut

__all__ = ["Adversary", "HeldOut", "Row", "TrainConfig", "checkpoints", "kl_to_truth", "masked_loss", "train"]
