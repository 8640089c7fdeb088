"""The second phase of training: a run that begins with the weights of another run's checkpoint.

RUN/config.yaml names that checkpoint under "from". RUN/start.safetensors holds a copy of its weights, so that the run
can be repeated when the other one is gone. The optimiser, the schedule and the count of steps begin anew.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...errors import InputError
from ...randomness import derive_seed

FROM, START = "from", "start.safetensors"
"""The key of config.yaml that holds the origin, and the file with its weights."""


@dataclass(frozen=True)
class Origin:
    """The checkpoint with whose weights a run begins.

    Args:
        run: directory of the other run.
        phase: number of phases of training before this one.
        step: step of its checkpoint; None for the last checkpoint of a run that has yet to be trained.
        weights_sha256: digest of its weights; None until they are known.
        root: digest of the settings of the first phase, or None; runs with the same root are not independent.
    """

    run: str
    phase: int
    step: int | None = None
    weights_sha256: str | None = None
    root: str | None = None

    def seed(self, seed: int) -> int:
        """The seed of the sentences of a run with this origin, which differ from those of the earlier phases."""
        return derive_seed(seed, "phase", self.phase)

    def same(self, other: "Origin | None") -> bool:
        """Whether another origin gives the same weights, as far as both are known, in the same phase."""
        if other is None or self.phase != other.phase:
            return False
        digests = self.weights_sha256, other.weights_sha256
        return digests[0] == digests[1] if None not in digests else Path(self.run).name == Path(other.run).name


def split_origin(text: str) -> tuple[Path, int | None]:
    """Splits RUN or RUN:STEP into (directory, step).

    Args:
        text: the text as given. If it is the name of an existing directory, it is not split.

    Returns:
        The directory, and the step or None.

    Raises:
        InputError: for a step that is not an integer of at most 8 digits.
    """
    head, colon, tail = text.rpartition(":")
    if not colon or Path(text).is_dir() or (not tail.isdecimal() and not Path(head).is_dir()):
        return Path(text), None
    if not tail.isdecimal() or len(tail) > 8:
        raise InputError(f"--from {text}: the step is '{tail}', expected a number such as {head}:500; correct it")
    return Path(head), int(tail)


def origin_read(content: dict[str, Any]) -> Origin | None:
    """The origin in the content of a config.yaml; None if it has none."""
    return Origin(**content[FROM]) if FROM in content else None


def model_from(origin_model: str, given: str | None) -> str:
    """The model of a run that begins with another one's weights.

    Args:
        origin_model: the model of the other run.
        given: the requested model; None for the same.

    Returns:
        The model.

    Raises:
        InputError: if another model is requested.
    """
    from ...models.names import canonical_name

    if given is not None and canonical_name(given) != origin_model:
        raise InputError(
            f"model '{given}' from the weights of '{origin_model}', expected the same model; leave the model out, or "
            "make a larger one by satlab widen and begin from that"
        )
    return origin_model


def named_origin(origin: Origin | None) -> str:
    """The name of an origin in a message: RUN:STEP, the end of RUN, or weights of its own."""
    if origin is None:
        return "weights of its own"
    return f"the end of {origin.run}" if origin.step is None else f"{origin.run}:{origin.step}"
