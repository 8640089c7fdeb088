"""What the probes of a model of some name read, known before there is such a model."""

from ...models.names import network_of
from ...models.networks.base import SizedNetwork
from ...probes import Reading
from ...probes.feature_store import IN_MEMORY
from ...probes.projection import check_projection
from .probe_config import ProbeConfig


def probe_readings(model: str, length: int, config: ProbeConfig) -> list[Reading]:
    """What the probes of this model, of a language of this length, read.

    Raises InputError for a layer or a position that is not there, and for a projection that is not narrower than the
    features.
    """
    layers, width = _size(model)
    readings = config.readings(layers, length)
    for reading in readings if width else []:
        check_projection(config.projection, reading.width(width, length), model)
    return readings


def features_need_disk(model: str, length: int, config: ProbeConfig) -> bool:
    """Whether a probe's features of all words are more than memory is given for."""
    width = _size(model)[1] if config.projection is None else 0
    return config.train_sentences * length * width * 4 > IN_MEMORY


def _size(model: str) -> tuple[int, int]:
    """(layers, width); (0, 0) for a network without a size."""
    network = network_of(model)
    return (network.layers, network.width) if isinstance(network, SizedNetwork) else (0, 0)
