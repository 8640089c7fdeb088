"""Names of models: a network and its settings as one line of text.

    bert-2x64                                 KIND-LAYERSxWIDTH; the other settings have their defaults
    bert-2x128:heads=4,initial_deviation=0.05     further settings follow a colon
    lookup                                    a network without a size

The canonical name omits settings at their defaults and sorts the others. It identifies a model everywhere: in
model.json, config.yaml, result rows and figures.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import InputError, a_text, unknown
from ..spec import settings_from, spec_of, split_spec
from .networks.base import Network, SizedNetwork, networks

SIZED = re.compile(r"(?P<kind>.+?)-(?P<layers>[1-9]\d{0,17})x(?P<width>[1-9]\d{0,17})")
SIZE = ("layers", "width")


@dataclass(frozen=True)
class ParsedName:
    """The parts of a model's name. Its kind exists; `network` checks whether the values fit together.

    Args:
        name: the given name.
        kind: the registered name of the network's class.
        entry: the registered class.
        size: {"layers": ..., "width": ...}; empty for a network without a size.
        settings: the settings after the colon.
    """

    name: str
    kind: str
    entry: type[Network]
    size: Mapping[str, int]
    settings: Mapping[str, Any]

    def network(self) -> Network:
        """The network. Raises InputError, with the model's name, for values that the network refuses."""
        try:
            return self.entry(**self.size, **self.settings)
        except InputError as error:
            raise InputError(f"model '{self.name}': {error}") from None


def parse_name(name: str) -> ParsedName:
    """Splits the name of a model into its parts.

    Args:
        name: KIND-LAYERSxWIDTH or KIND, then :setting=value,... for settings that differ from their defaults.

    Returns:
        The parts, each setting with the type that the network declares.

    Raises:
        InputError: for an unknown kind, a name without the size that its kind needs, and an unknown or malformed
            setting. The message suggests the nearest valid name.
    """
    short, _, _ = a_text("model", name).partition(":")
    what, (_, settings) = f"model '{name}'", split_spec(name)
    match = SIZED.fullmatch(short)
    kind = match["kind"] if match else short if short in networks else re.sub(r"-?\d.*$", "", short)
    if kind not in networks:
        error = unknown(networks.kind, kind, networks)
        raise error
    entry, size = networks[kind], dict[str, int]()
    if issubclass(entry, SizedNetwork):
        if not match:
            raise InputError(f"{what}: expected {kind}-LAYERSxWIDTH, for example {kind}-2x64")
        size = {part: int(match[part]) for part in SIZE}
    elif short != kind:
        raise InputError(f"{what}: {kind} has no size; did you mean '{kind}'?")
    given = settings_from(settings, entry, what)
    for part in size.keys() & given.keys():
        raise InputError(f"{what}: setting '{part}' belongs in the name, {kind}-LAYERSxWIDTH; remove the setting")
    return ParsedName(name, kind, entry, size, given)


def network_of(name: str) -> Network:
    """The network of a model's name. Raises InputError for an invalid name."""
    return parse_name(name).network()


def name_of(network: Network) -> str:
    """The canonical name of a model with this network."""
    kind = networks.name_of(network)
    if isinstance(network, SizedNetwork):
        return spec_of(f"{kind}-{network.layers}x{network.width}", network, SIZE)
    return spec_of(kind, network)


def canonical_name(name: str) -> str:
    """The canonical form of a name. Raises InputError for an invalid name."""
    return name_of(network_of(name))
