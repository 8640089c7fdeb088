"""The content of a run's config.yaml, and the check that it belongs to the requested run."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import yaml

from ...errors import InputError
from ...system.disk import write_atomic
from ...system.yaml_files import read_yaml
from ...train import TrainConfig, checkpoints
from ...train.checkpoint import read_state
from ..file_names import CONFIG, PUT_BACK
from .origin import FROM, Origin, named_origin

DEVICE, TORCH = "device", "torch"
"""Keys of config.yaml that training adds: the kind of device on which it began, cpu or cuda, and the torch version."""

LEFT_OUT: dict[str, Any] = {
    "optimizer_settings": {},
    "freeze": None,
    "average": None,
    "micro_batch": None,
    "adversary_head": "clipped",
}
"""Training settings that config.yaml omits if they have this value, as files of earlier versions do."""

WIDENED, AVERAGED = "widened", "averaged"
"""Keys of config.yaml for a run that `satlab widen` or `satlab average` made: what it was made from."""

MAKERS = {WIDENED: "satlab widen", AVERAGED: "satlab average"}
"""Such a key -> the command that made the run."""


def occupied(folder: Path) -> bool:
    """Whether a path holds anything other than the remains of an interrupted `create_run`."""
    if not folder.is_dir():
        return folder.exists()
    return any(not path.name.startswith((".", "language.")) for path in folder.iterdir())


def check_same(folder: Path, wanted: dict[str, Any]) -> None:
    """Checks that a directory holds the requested run.

    Args:
        folder: the directory, which is not empty.
        wanted: the content that the run's config.yaml would have.

    Raises:
        InputError: if it holds another run, or something else.
    """
    if not (folder / CONFIG).is_file():
        raise InputError(f"{folder} holds something else, expected a new or empty directory; choose another --out")
    there = read_yaml(folder / CONFIG, PUT_BACK)
    for key, maker in MAKERS.items():
        if key in there:
            raise InputError(f"{folder}: made by {maker}, expected a run that was trained; choose another --out")
    for key in ("max_length", "language_fingerprint", "model"):
        if there.get(key) != wanted[key]:
            what = "language" if key == "language_fingerprint" else key
            again = " with other rules" if what == "language" and there.get(what) == wanted[what] else ""
            shown = f"{what}: {there.get(what)} there, {wanted[what]} given{again}"
            raise InputError(f"{folder} holds another run ({shown}); choose another --out")
    here, read = wanted.get("corpus", {}), there.get("corpus", {})
    if here.get("sha256") != read.get("sha256"):
        shown = f"corpus: {read.get('folder', 'none')} there, {here.get('folder', 'none')} given"
        raise InputError(f"{folder} holds another run ({shown}, with other sentences); choose another --out")
    mine, its = (None if FROM not in told else Origin(**told[FROM]) for told in (wanted, there))
    if (mine or its) and (mine is None or not mine.same(its)):
        shown = ", ".join(f"from {named_origin(origin)} {where}" for origin, where in ((its, "there"), (mine, "given")))
        raise InputError(f"{folder} holds another run ({shown}); choose another --out")
    before = LEFT_OUT | as_now(there.get("train", {}))
    for key, value in (LEFT_OUT | wanted["train"]).items():
        if key != "sharding" and before.get(key) != value:
            shown = f"{key}: {before.get(key)} there, {value} given"
            raise InputError(f"{folder} holds another run ({shown}); choose another --out")


def as_json(content: Any) -> str:
    """JSON, with numpy's numbers and arrays as plain numbers and lists.

    Args:
        content: mappings, lists, texts and numbers.

    Returns:
        The text.

    Raises:
        InputError: for anything else.
    """

    def plain(value: Any) -> Any:
        if hasattr(value, "tolist"):
            return value.tolist()
        raise InputError(
            f"{value!r:.80} is of type {type(value).__name__}, expected a number, a string or a list; correct it"
        )

    return json.dumps(content, default=plain)


def as_written(config: TrainConfig) -> dict[str, Any]:
    """The settings in the form of config.yaml."""
    settings: dict[str, Any] = json.loads(as_json(asdict(config)))
    return {key: value for key, value in settings.items() if key not in LEFT_OUT or value != LEFT_OUT[key]}


def as_now(settings: dict[str, Any]) -> dict[str, Any]:
    """Adapts settings of older files: most_evaluation_sentences must be at least evaluation_sentences."""
    settings = dict(settings)
    least, most = settings.get("evaluation_sentences"), settings.get("most_evaluation_sentences")
    if isinstance(least, int) and isinstance(most, int) and most < least:
        return settings | {"most_evaluation_sentences": least}
    return settings


def settle_device(folder: Path, kind: str) -> None:
    """Records in config.yaml the kind of device on which a run begins, because random numbers depend on it.

    Args:
        folder: the run. A run of an earlier version without this record may continue on any device.
        kind: the kind of device, cpu or cuda.

    Raises:
        InputError: if an unfinished run began on another kind.
    """
    content, found = read_yaml(folder / CONFIG, PUT_BACK), checkpoints(folder, kept_only=False)
    if not found and content.get(DEVICE) != kind:
        import torch

        begun = content | {DEVICE: kind, TORCH: str(torch.__version__)}
        write_atomic(folder / CONFIG, yaml.safe_dump(begun, sort_keys=False))
    elif content.get(DEVICE, kind) != kind and not (found and (read_state(found[-1][1]) or {}).get("finished")):
        raise InputError(
            f"{folder} was begun on {content[DEVICE]} and cannot continue on {kind}, where the same seed draws other "
            f"numbers; give --device {content[DEVICE]}, or train again with another --out"
        )
