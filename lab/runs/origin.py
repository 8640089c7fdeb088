"""The second phase of training: a run that begins with the weights of another run's checkpoint.

RUN/config.yaml says under "from" which checkpoint that is, and RUN/start.safetensors holds a copy of its weights, so
that the run can be repeated when the other one is gone. Optimiser, schedule and clock begin anew.
"""

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from ...errors import InputError
from ...models import LanguageModel
from ...models.build import WEIGHTS, load_tensors
from ...models.names import canonical_name
from ...randomness import derive_seed
from ...system.disk import write_atomic
from ...system.sums import damaged_file, sha256
from ...system.yaml_files import read_yaml
from ...train import checkpoints
from ...train.checkpoint import read_state
from ..file_names import CONFIG, PUT_BACK

FROM, START = "from", "start.safetensors"
"""The key of config.yaml that holds the origin, and the file with its weights."""


@dataclass(frozen=True)
class Origin:
    """The checkpoint with whose weights a run begins.

    Args:
        run: directory of the other run.
        step: of its checkpoint; None for the last one of a run that has yet to be trained.
        weights_sha256: digest of its weights; None until the run begins.
        phase: how many phases of training came before.
        root: what the first of these phases was told, as a digest; runs of one root are not independent.
    """

    run: str
    step: int | None
    weights_sha256: str | None
    phase: int
    root: str

    def seed(self, seed: int) -> int:
        """The seed from which a run with this origin draws its sentences: other ones than the phases before it."""
        return derive_seed(seed, "phase", self.phase)

    def same(self, other: "Origin | None") -> bool:
        """Whether another origin gives the same weights, as far as both are known, in the same phase."""
        if other is None or (self.phase, self.root) != (other.phase, other.root):
            return False
        digests = self.weights_sha256, other.weights_sha256
        return digests[0] == digests[1] if None not in digests else self.step == other.step


def split_origin(text: str) -> tuple[Path, int | None]:
    """RUN or RUN:STEP as (directory, step).

    Args:
        text: as it was given; a directory whose own name ends in a colon and a number is taken as it is.

    Returns:
        The directory, and the step or None.

    Raises:
        InputError: for a step that is no whole number.
    """
    head, colon, tail = text.rpartition(":")
    if not colon or Path(text).is_dir() or (not tail.isdecimal() and not Path(head).is_dir()):
        return Path(text), None
    if not tail.isdecimal() or len(tail) > 8:
        raise InputError(f"--from {text}: the step is '{tail}', expected a number such as {head}:500; correct it")
    return Path(head), int(tail)


def begin_from(folder: Path, origin: Origin, model: LanguageModel) -> None:
    """Loads the weights with which a run begins; the first time, copies them into its directory.

    Args:
        folder: the run.
        origin: where its weights come from.
        model: takes the weights.

    Raises:
        InputError: where the origin is gone, damaged, changed, not trained to its end, or of another shape.
    """
    copy = folder / START
    if any((folder / "checkpoints").glob("step-*")):
        return  # Training goes on from checkpoints of its own.
    if not copy.is_file() or (origin.weights_sha256 is not None and sha256(copy) != origin.weights_sha256):
        _copy(folder, origin)
    try:
        model.load_state_dict(load_tensors(copy))
    except RuntimeError:
        raise InputError(f"{copy}: weights of another shape than {model.name}; train again elsewhere") from None


def _copy(folder: Path, origin: Origin) -> None:
    """Copies the weights of the origin into the run's directory, and notes in config.yaml which they are."""
    step, checkpoint = _checkpoint(folder, origin)
    found = replace(origin, step=step, weights_sha256=sha256(checkpoint / WEIGHTS))
    if origin.weights_sha256 not in (None, found.weights_sha256):
        raise InputError(
            f"{checkpoint / WEIGHTS}: not the weights with which {folder} was to begin; put them back, or train in "
            "another directory"
        )
    told = read_yaml(folder / CONFIG, PUT_BACK) | {FROM: asdict(found)}
    write_atomic(folder / CONFIG, yaml.safe_dump(told, sort_keys=False))
    write_atomic(folder / START, (checkpoint / WEIGHTS).read_bytes())


def _checkpoint(folder: Path, origin: Origin) -> tuple[int, Path]:
    """The step and directory of the origin's checkpoint, whole."""
    there = Path(origin.run)
    found = checkpoints(there) if there.is_dir() else []
    if origin.step is None and (not found or not (read_state(found[-1][1]) or {}).get("finished")):
        raise InputError(f"{folder}: begins where {there} ends, which is not trained to its end; train that first")
    chosen = [(step, place) for step, place in found if origin.step in (None, step)]
    if not chosen:
        raise InputError(f"{there}: no checkpoint of step {origin.step}, with which {folder} begins; put it back")
    step, place = chosen[-1]
    if wrong := damaged_file(place, (WEIGHTS,)):
        raise InputError(f"{place}/{wrong}, expected the weights with which {folder} begins; choose another step")
    return step, place


def origin_read(content: dict[str, Any]) -> Origin | None:
    """The origin that a config.yaml holds; None where there is none."""
    return Origin(**content[FROM]) if FROM in content else None


def model_from(origin_model: str, given: str | None) -> str:
    """The model of a run that begins with another one's weights.

    Args:
        origin_model: the model of the other run.
        given: the model that was asked for; None for the same.

    Returns:
        The model.

    Raises:
        InputError: where another one was asked for.
    """
    if given is not None and canonical_name(given) != origin_model:
        raise InputError(
            f"model '{given}' from the weights of '{origin_model}', expected the same model; leave the model out, or "
            "make a larger one by satlab widen and begin from that"
        )
    return origin_model


def named_origin(origin: Origin | None) -> str:
    """An origin in a message: RUN:STEP, the end of RUN, or that there is none."""
    if origin is None:
        return "weights of its own"
    return f"the end of {origin.run}" if origin.step is None else f"{origin.run}:{origin.step}"
