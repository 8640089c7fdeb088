"""What each command does, once its arguments are read."""

import json
import os
import sys
import warnings
from collections.abc import Iterable
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, TypeVar

import torch
from jsonargparse import Namespace

from ...errors import InputError, at_least
from ...generators import load_language
from ...generators.corpus.manifest import MANIFEST, Corpus, open_corpus
from ...generators.corpus.verify import examine, other_versions, repair
from ...generators.corpus.writer import write_corpus
from ...generators.pcfg.branching import branching_statistics
from ...generators.pcfg.induce import Reading
from ...generators.pcfg.induce import induce as read_off
from ...generators.pcfg.treebank import located_trees
from ...models import load_model
from ...randomness import random_stream
from ...system.disk import write_atomic
from ...system.signals import StopRequest
from ...train import MetricsRow, TrainConfig
from ...train.parallel.world import World, joined
from ..analysis.notices import said_of_checkpoints
from ..analysis.results import STUDY_FILE
from ..config import EvaluateConfig, FlatnessConfig, ProbeConfig, from_mapping
from ..describe import pictures
from ..describe.show import default_samples, describe, say_cost
from ..describe.text import as_text
from ..measurements import measure
from ..measurements import probe as probe_rows
from ..measurements.probe_readings import features_need_disk
from ..runs.export import export_model
from ..runs.memory_check import check_floor_room
from ..runs.run import CONFIG, METRICS, RESULTS, Run, create_run, load_run, train_run
from ..runs.wandb_mirror import load_wandb, mirrored
from .arguments import at_most
from .progress import TrainingProgress, parts_on, progress_bar

MOST_SENTENCES = 10**10
"""Sentences that a mean is taken over: the fastest language takes an hour for them, and has six digits then."""

T = TypeVar("T")


def generate(given: Namespace) -> None:
    language = load_language(given.language, given.max_length)
    asked = (given.sentences, Path(given.out), given.seed, given.truth, given.format)
    how = (given.workers, given.engine, given.shard_sentences)
    written = write_corpus(language, given.language, *asked, *how)
    with progress_bar(given.sentences, "sentences") as bar:
        for done in written:
            bar.update(done - bar.n)
    _print({"out": given.out, "sentences": given.sentences, "seed": given.seed, "truth": given.truth})


def verify(given: Namespace) -> int:
    folder = Path(given.corpus)
    for name, kind in ((CONFIG, "a run"), (STUDY_FILE, "a study")):
        if (folder / name).is_file() and not (folder / MANIFEST).exists():
            raise InputError(f"{folder}: {kind}, expected a corpus made by satlab generate; check the path")
    corpus = open_corpus(folder)
    findings = []
    with progress_bar(len(corpus.shards) + 1, "files") as bar:
        for finding in examine(corpus):
            if finding is not None:
                findings.append(finding)
                _print(asdict(finding))
            bar.update()
    last: dict[str, Any] = {"dir": given.corpus, "shards": len(corpus), "damaged": len(findings)}
    if given.repair and findings:
        last["repaired"] = _repair(corpus, [finding.shard for finding in findings if finding.shard is not None])
    _print(last)
    if not corpus.manifest["complete"]:
        print(
            f"satlab: {given.corpus}: unfinished, {len(corpus.shards)} of {len(corpus)} shards are known; run its "
            "satlab generate command again to go on",
            file=sys.stderr,
        )
    if "manifest_sha256" not in corpus.manifest:
        print(
            f"satlab: {Path(given.corpus) / MANIFEST}: an older satlab wrote it, without the manifest_sha256 by which "
            "its own fields are checked; run its satlab generate command again to add it",
            file=sys.stderr,
        )
    return 0 if corpus.manifest["complete"] and len(findings) == last.get("repaired", 0) else 1


def _repair(corpus: Corpus, numbers: list[int]) -> int:
    """How many of the shards are as they were, once they have been made again."""
    repaired = 0
    with progress_bar(len(numbers), "shards") as bar:
        for number, same in repair(corpus, numbers, workers=None):
            bar.update()
            repaired += same
            if not same:
                print(
                    f"satlab: {corpus.folder}: shard {number} came out otherwise than the manifest says and is left as "
                    f"it is ({other_versions(corpus)}); repair it where the corpus was made",
                    file=sys.stderr,
                )
    return repaired


def floor(given: Namespace) -> None:
    language = load_language(given.language, given.max_length)
    if given.sentences < 2:
        raise InputError(f"{given.sentences} sentences: expected at least 2, for a standard error")
    at_most("sentences", given.sentences, MOST_SENTENCES)
    check_floor_room(language, given.sentences, given.masking)
    with progress_bar(given.sentences, "sentences") as bar:
        generator = random_stream(given.seed, "floor")
        estimate = language.loss_floor(given.sentences, generator, given.masking, bar.update)
    named = {"language": given.language, "max_length": language.max_length, "masking": given.masking}
    _print(named | {"floor_nats": estimate.value, "stderr": estimate.stderr, "n": estimate.n, "seed": given.seed})


def show(given: Namespace) -> None:
    at_least("sentences", given.sentences, 1)
    at_most("sentences", given.sentences, MOST_SENTENCES)
    if given.samples is not None:
        at_most("samples", given.samples, MOST_SENTENCES)
        at_least("samples", given.samples, max(2, given.sentences))
    if given.png is not None:
        pictures.check_png(Path(given.png))
    language = load_language(given.language, given.max_length)
    samples = given.samples or max(default_samples(language), given.sentences)
    say_cost(language, samples)
    sentences = language.sample(samples, random_stream(given.seed, "measurement"))
    figure = None if given.png is None else pictures.picture(language, sentences)
    with progress_bar(samples, "sentences") as bar:
        found = describe(language, given.language, sentences, given.sentences, given.seed, bar.update)
    if figure is not None:
        pictures.save_png(figure, Path(given.png))
    if given.json:
        _print(found)
    else:
        print(as_text(found))


def induce(given: Namespace) -> None:
    out = Path(given.out)
    if out.suffix != ".pcfg" or not out.parent.is_dir() or out.is_dir():
        raise InputError(
            f"--out {out}: expected a file in a directory that exists, its name ending in .pcfg; correct it"
        )
    reading = _config(Reading, given)
    with progress_bar(None, "trees") as bar:
        trees, places = [], []
        for place, tree in located_trees(Path(given.trees)):
            trees.append(tree)
            places.append(place)
            bar.update()
    grammar = read_off(trees, reading, given.trees, places)
    try:
        text, statistics = grammar.to_text(), branching_statistics(grammar)
    except InputError as error:
        raise InputError(f"{given.trees}: {error}") from None
    write_atomic(out, text)
    words = {word for rule in grammar.productions for word in rule.rhs() if isinstance(word, str)}
    counted = {"trees": len(trees), "symbols": len(grammar.nonterminals), "rules": len(grammar.productions)}
    criticality = {"expected_length": statistics.expected_length, "distance_from_criticality": statistics.distance}
    _print({"out": given.out} | counted | {"words": len(words)} | criticality)


def train(given: Namespace) -> None:
    config = _config(TrainConfig, given)
    with joined() as world:
        device = world.device(given.device)
        wandb = load_wandb() if given.wandb and world.first else None
        run = create_run(Path(given.out), given.language, given.model, config, given.max_length, world)
        if world.first and config.dropped_checkpoints:
            beyond = f"checkpoints {config.dropped_checkpoints} lie beyond the {config.steps} steps and are left out"
            warnings.warn(beyond, stacklevel=1)
        bar_of = (config.steps, "steps", world.first)
        with mirrored(run, wandb) as mirror, StopRequest() as stop, progress_bar(*bar_of) as bar:
            progress = TrainingProgress(bar, config.steps)

            def on_row(row: MetricsRow) -> None:
                progress.on_row(row)
                mirror(row)

            train_run(run, device, on_row, progress.on_step, stop, world)
    if world.first:
        _conclude(given.out, run)


def _conclude(out: str, run: Run) -> None:
    rows, reached = run.metrics, max((step for step, _ in run.checkpoints), default=0)
    if not rows or rows[-1]["step"] < reached:
        raise InputError(
            f"{run.folder / METRICS}: the row of step {reached} is missing, with which the finished run ended; put the file "
            "back, or train again with another --out"
        )
    last = rows[-1]
    reason = "saturated" if last["saturated"] else "step limit"
    if not last["saturated"]:
        print(
            f"satlab: warning: not saturated: KL's upper bound {last['kl_upper95']:.4g} is not below "
            f"{run.config.threshold:g} nats",
            file=sys.stderr,
        )
    # Rows of earlier versions do not have it.
    known = all(row.get("seconds") is not None for row in rows)
    seconds = {"seconds": sum(row["seconds"] for row in rows)} if known else {}
    _print({"run": out, "stopped": reason} | last | seconds)


def evaluate(given: Namespace) -> None:
    run = _run(given)
    _table(run, measure.measure_kl(run, _config(EvaluateConfig, given), given.step), given.step)


def probe(given: Namespace) -> None:
    run, config = _run(given), _config(ProbeConfig, given)
    # What is wrong is said before the baselines are measured.
    probe_rows.check_probe(run, given.task, config, given.step, given.cache)
    if features_need_disk(run.model, run.language.max_length, config) and "OMP_NUM_THREADS" not in os.environ:
        # Unlike all smaller work, products with rows this long gain by every core.
        torch.set_num_threads(os.cpu_count() or 1)
    file, cache = run.folder / RESULTS, given.cache
    with progress_bar(None, "baselines") as bar:
        for row in probe_rows.measure_baselines(run.language, given.task, config, file, cache, parts_on(bar)):
            _print(row)
    with progress_bar(None, "checkpoints") as bar:
        for row in probe_rows.measure_probe(run, given.task, config, given.step, cache, parts_on(bar)):
            _print(row)
    _warn_of_unsaturated(run, given.step)


def flatness(given: Namespace) -> None:
    run = _run(given)
    _table(run, measure.measure_flatness(run, _config(FlatnessConfig, given), given.step), given.step)
    _warn_of_unsaturated(run, given.step)


def _warn_of_unsaturated(run: Run, step: int | None) -> None:
    for said in said_of_checkpoints(run, [at for at, _ in measure.chosen_checkpoints(run, step)]):
        warnings.warn(said, stacklevel=1)


def export(given: Namespace) -> None:
    step, folder = measure.chosen_checkpoints(load_run(Path(given.run)), given.step)[-1]
    export_model(load_model(folder), Path(given.out))
    _print({"run": given.run, "step": step, "out": given.out})


def _run(given: Namespace) -> Run:
    return load_run(Path(given.run)).on(World().device(given.device))


def _config(kind: type[T], given: Namespace) -> T:
    return from_mapping(kind, {f.name: given[f.name] for f in fields(kind)}, "")  # type: ignore[arg-type]


def _print(row: Any) -> None:
    print(json.dumps(row), flush=True)


def _table(run: Run, rows: Iterable[dict[str, Any]], step: int | None) -> None:
    """The rows as JSON lines, with a bar over the checkpoints."""
    with progress_bar(len(measure.chosen_checkpoints(run, step)), "checkpoints") as bar:
        seen = set()
        for row in rows:
            _print(row)
            seen.add(row["step"])
            bar.update(len(seen) - bar.n)
