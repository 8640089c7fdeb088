"""A run on disk: everything needed to repeat it, its metrics, its checkpoints, and the measurements on them.

RUN/config.yaml         language, model and settings of training, all resolved
RUN/language.yaml       the language itself; RUN/language.npz for some languages
RUN/metrics.jsonl       one row for each evaluation in training
RUN/results.jsonl       one row for each measurement
RUN/checkpoints/        see train/checkpoint.py
RUN/start.safetensors   the first weights, if they come from another run; see origin.py
"""

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from ... import __version__
from ...errors import InputError
from ...generators.corpus.manifest import open_corpus
from ...models.files import DESCRIPTION
from ...system.disk import naming, read_lines, write_atomic
from ...system.new_folder import begun
from ...system.yaml_files import read_yaml
from ...train import TrainConfig, checkpoints
from ...train.checkpoint import listed
from ..file_names import CONFIG, PUT_BACK
from ..reading import from_mapping
from .config_file import as_json, as_now, as_written, check_same, occupied
from .kept_language import KeptLanguage
from .origin import FROM, Origin, origin_read
from .rows import wrong_metrics, wrong_result

if TYPE_CHECKING:
    from ...generators import Language
    from ...train.parallel.world import World

METRICS, RESULTS = "metrics.jsonl", "results.jsonl"


@dataclass(frozen=True)
class TrainingCorpus:
    """The corpus that a run trains on: its directory, and the fingerprint of its bytes."""

    folder: str
    sha256: str


@dataclass(frozen=True)
class Run:
    """A directory that holds, or will hold, one training run.

    Args:
        folder: the directory.
        source: the language, as given.
        model: the model's name.
        config: how it is trained.
        kept: the language, read at first use.
        corpus: the corpus that it trains on; None for fresh sentences.
        origin: the checkpoint with whose weights it begins; None for new weights.
        copies: other directories, or other names of this one, with the same training; see lab/runs/trainings.py.
    """

    folder: Path
    source: str
    model: str
    config: TrainConfig
    kept: KeptLanguage
    corpus: TrainingCorpus | None = None
    origin: Origin | None = None
    copies: tuple[Path, ...] = ()

    def on(self, device: str) -> "Run":
        """The run with its language on this device, on which it is then measured."""
        from ...train.parallel.world import without_tf32

        without_tf32(device)
        return replace(self, kept=KeptLanguage(self.fingerprint, self.language.to(device)))

    @property
    def language(self) -> "Language":
        """The language, read at first use."""
        return self.kept.language

    @property
    def fingerprint(self) -> str:
        """The fingerprint of the language."""
        return self.kept.fingerprint

    @property
    def phase_config(self) -> TrainConfig:
        """The settings, with the seed from which this phase of training draws its sentences."""
        if self.origin is None:
            return self.config
        return replace(self.config, seed=self.origin.seed(self.config.seed))

    @property
    def checkpoints(self) -> list[tuple[int, Path]]:
        """(step, directory) of each kept checkpoint, in order of steps."""
        return checkpoints(self.folder)

    @property
    def metrics(self) -> list[dict[str, Any]]:
        """The rows of metrics.jsonl."""
        return read_lines(self.folder / METRICS, wrong_metrics)

    @property
    def results(self) -> list[dict[str, Any]]:
        """The rows of results.jsonl."""
        return read_lines(self.folder / RESULTS, wrong_result)


def load_run(folder: Path) -> Run:
    """The run in a directory.

    Args:
        folder: the directory.

    Returns:
        The run.

    Raises:
        InputError: if there is none, or if it is damaged.
    """
    if not (folder / CONFIG).is_file():
        raise InputError(f"{folder}: no run here, expected a directory made by satlab train; check the path")
    content = read_yaml(folder / CONFIG, PUT_BACK)
    try:
        config = from_mapping(TrainConfig, as_now(content["train"]), str(folder / CONFIG))
        kept = KeptLanguage(content["language_fingerprint"], (folder / content["language_file"]).absolute())
        kept.check()
        _check_model(folder, content["model"])
        corpus = TrainingCorpus(**content["corpus"]) if "corpus" in content else None
        return Run(folder, content["language"], content["model"], config, kept, corpus, origin_read(content))
    except InputError:
        raise
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{folder / CONFIG}: damaged ({error}), expected what satlab train wrote; train again"
        ) from None


def _check_model(folder: Path, name: str) -> None:
    """Raises InputError if the newest readable checkpoint has another model than config.yaml."""
    for checkpoint, _ in reversed(listed(folder)):
        try:
            kept = json.loads((checkpoint / DESCRIPTION).read_text())["name"]
        except (OSError, ValueError, KeyError, TypeError):
            continue
        if kept != name:
            raise InputError(f"{folder / CONFIG}: model is '{name}', but {checkpoint} holds '{kept}'; {PUT_BACK}")
        return


def check_run(
    folder: Path,
    source: Any,
    model: str,
    config: TrainConfig,
    max_length: int | None = None,
    origin: Origin | None = None,
) -> tuple["Language", dict[str, Any]]:
    """Checks everything about a run before anything is written.

    Args:
        folder: its directory.
        source: the language; see `load_language`. If it is a corpus, the run trains on it.
        model: the model's name.
        config: how it is trained.
        max_length: replaces the language's own.
        origin: the checkpoint with whose weights it begins. Its model and language are not checked.

    Returns:
        The language, and the content for config.yaml.

    Raises:
        InputError: for a language, model or setting that does not exist, sizes beyond this machine's memory, a corpus
            that is unfinished or of another language, and a directory that holds another run or something else.
    """
    from ...generators import load_language
    from ...generators.corpus.stream import CorpusStream
    from ...generators.load import corpus_of
    from ...generators.tasks import find_task
    from ...models import build_model
    from ...models.names import canonical_name
    from ...train.trainer import resolved
    from .memory_check import check_model_room, check_sentences_room

    language = load_language(source, max_length)
    if model == "lookup":
        raise InputError("model 'lookup' cannot be trained: it is the truth, with which every probe is compared")
    model = canonical_name(model)
    check_model_room(model, language, config)
    config = resolved(config, build_model(model, language, config.seed, config.dropout))
    check_sentences_room(language, config)
    if config.adversary_task is not None:
        find_task(language, config.adversary_task)
    wanted = {
        "satlab": __version__,
        "language": source if isinstance(source, str) else as_json(source),
        "language_file": f"language{language.suffix}",
        "max_length": language.max_length,
        "language_fingerprint": language.fingerprint(),
        "model": model,
        "train": as_written(config),
    }
    if (directory := corpus_of(source)) is not None:
        corpus = open_corpus(directory)
        CorpusStream(corpus, language, config.batch_size, config.seed)
        wanted["corpus"] = asdict(TrainingCorpus(str(corpus.folder.resolve()), corpus.fingerprint))
    if origin is not None:
        wanted[FROM] = asdict(origin)
    if occupied(folder):
        check_same(folder, wanted)
    return language, wanted


def create_run(
    folder: Path,
    source: Any,
    model: str,
    config: TrainConfig,
    max_length: int | None = None,
    origin: Origin | None = None,
    world: "World | None" = None,
) -> Run:
    """Makes a run, or loads the same run if it exists. Everything is checked before anything is written.

    Among several processes, only the first writes; the others need no access to the directory.

    Args:
        folder: its directory.
        source: the language; see `load_language`. If it is a corpus, the run trains on it.
        model: the model's name.
        config: how it is trained.
        max_length: replaces the language's own.
        origin: the checkpoint with whose weights it begins; None for new weights.
        world: the processes that train together; None for one.

    Returns:
        The run.

    Raises:
        InputError: as `check_run` does, and for fewer sentences in a step than processes.
    """
    if world is not None and config.batch_size < world.size:
        raise InputError(
            f"batch_size is {config.batch_size} for {world.size} processes, expected a sentence for each; give more"
        )
    language, wanted = check_run(folder, source, model, config, max_length, origin)
    corpus = TrainingCorpus(**wanted["corpus"]) if "corpus" in wanted else None
    if world is not None and not world.first:
        config = from_mapping(TrainConfig, wanted["train"], "")
        kept = KeptLanguage(wanted["language_fingerprint"], language)
        return Run(folder, wanted["language"], model, config, kept, corpus, origin)
    if not occupied(folder):
        with begun(folder, "language.*"):
            if not occupied(folder):
                with naming(folder / wanted["language_file"]):
                    language.save(str(folder / "language"))
                write_atomic(folder / CONFIG, yaml.safe_dump(wanted, sort_keys=False))
    run = load_run(folder)
    # The corpus may have moved, and `sharding` may differ from that of an earlier session.
    return replace(run, corpus=corpus, config=replace(run.config, sharding=config.sharding))
