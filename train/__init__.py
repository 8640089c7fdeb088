"""Training to saturation."""

from typing import TYPE_CHECKING

from ..lazy import lazily

if TYPE_CHECKING:
    from .adversary import Adversary
    from .checkpoint import checkpoints
    from .config import TrainConfig
    from .losses import kl_to_truth, masked_loss
    from .metrics import MetricsRow
    from .saturation import HeldOut
    from .trainer import Trainer

__all__ = ["Adversary", "HeldOut", "MetricsRow", "TrainConfig", "Trainer", "checkpoints", "kl_to_truth", "masked_loss"]

__getattr__ = lazily(__name__, __file__)
