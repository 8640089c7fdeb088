"""The features that the probes of a model read, derived from its name before it is built."""

from ...models.names import network_of
from ...models.networks.base import SizedNetwork
from ...probes import FeatureChoice
from ...probes.feature_store import IN_MEMORY
from ...probes.projection import check_projection
from .probe_config import ProbeConfig


def feature_choices(model: str, length: int, config: ProbeConfig) -> list[FeatureChoice]:
    """Lists the features that the probes read.

    Args:
        model: a model's name.
        length: the longest sentence of the language, in words.
        config: gives the layers and positions.

    Returns:
        One choice, or one for each layer and position if the configuration says `all`.

    Raises:
        InputError: for a layer or position that does not exist, and for a projection that is not narrower than the
            features.
    """
    layers, width = _size(model)
    choices = config.choices(layers, length)
    for choice in choices if width else []:
        check_projection(config.projection, choice.width(width, length), model)
    return choices


def features_need_disk(model: str, length: int, config: ProbeConfig) -> bool:
    """Whether the float32 features of all words of the training sentences exceed IN_MEMORY; False with a projection."""
    width = _size(model)[1] if config.projection is None else 0
    return config.train_sentences * length * width * 4 > IN_MEMORY


def _size(model: str) -> tuple[int, int]:
    """(layers, width); (0, 0) for a network without a size."""
    network = network_of(model)
    return (network.layers, network.width) if isinstance(network, SizedNetwork) else (0, 0)
