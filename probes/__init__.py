"""What frozen features know about a downstream task."""

from .features import concatenated_features
from .linear import linear_probe, majority_class

__all__ = ["concatenated_features", "linear_probe", "majority_class"]
