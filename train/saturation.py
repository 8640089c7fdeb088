"""When a model counts as saturated: it has the optimal pre-training loss, as far as a held-out set can tell."""

import math
from dataclasses import dataclass

from ..estimate import Estimate


@dataclass(frozen=True)
class SaturationRule:
    """Saturated once the upper end of the one-sided 95 % interval of KL(truth || model) is below threshold (nats)."""

    threshold: float

    def holds(self, kl: Estimate) -> bool:
        return math.isfinite(kl.upper95) and kl.upper95 < self.threshold
