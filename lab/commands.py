"""What each command does, once its arguments are read."""

import json
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any, TypeVar

import torch
from jsonargparse import Namespace
from tqdm import tqdm

from ..disk import write_atomic
from ..errors import InputError
from ..generators import load_language
from ..generators.branching import branching_statistics
from ..generators.corpus import Corpus, open_corpus
from ..generators.corpus_writer import write_corpus
from ..generators.induce import Reading
from ..generators.induce import induce as read_off
from ..generators.treebank import read_trees
from ..generators.verify import examine, other_versions, repair
from ..randomness import random_stream
from ..train import Row, TrainConfig
from . import figures, measure, pictures
from .config import EvaluateConfig, FlatnessConfig, ProbeConfig, at_least, from_mapping, load_study
from .run import RESULTS, Run, create_run, load_run, train_run
from .show import describe
from .show_text import as_text
from .study import run_study

T = TypeVar("T")


def generate(given: Namespace) -> None:
    language = load_language(given.language, given.max_length)
    asked = (given.sentences, Path(given.out), given.seed, given.truth, given.format)
    how = (given.workers, given.engine, given.shard_sentences)
    written = write_corpus(language, given.language, *asked, *how)
    with _bar(given.sentences, "sentences") as bar:
        for done in written:
            bar.update(done - bar.n)
    _print({"out": given.out, "sentences": given.sentences, "seed": given.seed, "truth": given.truth})


def verify(given: Namespace) -> int:
    corpus = open_corpus(Path(given.corpus))
    findings = []
    with _bar(len(corpus.shards) + 1, "files") as bar:
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
            f"satlab: {given.corpus}: unfinished, {len(corpus.shards)} of {len(corpus)} shards are known; run its satlab "
            "generate command again to go on",
            file=sys.stderr,
        )
    return 0 if corpus.manifest["complete"] and len(findings) == last.get("repaired", 0) else 1


def _repair(corpus: Corpus, numbers: list[int]) -> int:
    """How many of the shards are as they were, once they have been made again."""
    repaired = 0
    with _bar(len(numbers), "shards") as bar:
        for number, same in repair(corpus, numbers, workers=None):
            bar.update()
            repaired += same
            if not same:
                print(
                    f"satlab: {corpus.folder}: shard {number} came out otherwise than the manifest says and is left as it "
                    f"is ({other_versions(corpus)}); repair it where the corpus was made",
                    file=sys.stderr,
                )
    return repaired


def floor(given: Namespace) -> None:
    language = load_language(given.language, given.max_length)
    if given.sentences < 2:
        raise InputError(f"{given.sentences} sentences: expected at least 2, for a standard error")
    with _bar(given.sentences, "sentences") as bar:
        generator = random_stream(given.seed, "floor")
        estimate = language.loss_floor(given.sentences, generator, given.masking, bar.update)
    named = {"language": given.language, "max_length": language.max_length, "masking": given.masking}
    _print(named | {"floor_nats": estimate.value, "stderr": estimate.stderr, "n": estimate.n, "seed": given.seed})


def show(given: Namespace) -> None:
    at_least("sentences", given.sentences, 1)
    at_least("samples", given.samples, max(2, given.sentences))
    if given.png is not None:
        pictures.check_png(Path(given.png))
    language = load_language(given.language, given.max_length)
    sentences = language.sample(given.samples, random_stream(given.seed, "measurement"))
    figure = None if given.png is None else pictures.picture(language, sentences)
    with _bar(given.samples, "sentences") as bar:
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
    with _bar(None, "trees") as bar:
        trees = []
        for tree in read_trees(Path(given.trees)):
            trees.append(tree)
            bar.update()
    grammar = read_off(trees, _config(Reading, given))
    text, statistics = grammar.to_text(), branching_statistics(grammar)
    write_atomic(out, text)
    words = {word for rule in grammar.productions for word in rule.rhs() if isinstance(word, str)}
    counted = {"trees": len(trees), "symbols": len(grammar.nonterminals), "rules": len(grammar.productions)}
    criticality = {"expected_length": statistics.expected_length, "distance_from_criticality": statistics.distance}
    _print({"out": given.out} | counted | {"words": len(words)} | criticality)


def train(given: Namespace) -> None:
    config = _config(TrainConfig, given)
    if given.device != "cpu" and not (given.device.startswith("cuda") and torch.cuda.is_available()):
        raise InputError(
            f"device '{given.device}' is not here, expected cpu or, with a GPU, cuda; choose another --device"
        )
    run = create_run(Path(given.out), given.language, given.model, config, given.max_length)
    mirror = _wandb(run) if given.wandb else None
    with _bar(config.steps, "steps") as bar:

        def on_row(row: Row) -> None:
            bar.set_postfix_str(f"KL {row.kl:.4f}+-{row.kl_stderr:.4f}, floor {row.floor:.4f} nats")
            if bar.disable:
                print(f"step {row.step}: KL {row.kl:.5f} +- {row.kl_stderr:.5f} nats", file=sys.stderr)
            if mirror is not None:
                mirror.log(asdict(row), step=row.step)

        train_run(run, given.device, on_row, lambda step, loss: bar.update(step - bar.n) and None)
    if mirror is not None:
        mirror.finish()
    last = run.metrics[-1]
    reason = "saturated" if last["saturated"] else "step limit"
    if not last["saturated"]:
        print(
            f"satlab: warning: not saturated: KL's upper bound {last['kl_upper95']:.4g} is not below {config.threshold:g} nats",
            file=sys.stderr,
        )
    _print({"run": given.out, "stopped": reason} | last)


def evaluate(given: Namespace) -> None:
    run = load_run(Path(given.run))
    _table(run, measure.measure_kl(run, _config(EvaluateConfig, given), given.step), given.step)


def probe(given: Namespace) -> None:
    run, config = load_run(Path(given.run)), _config(ProbeConfig, given)
    rows = measure.measure_probe(run, given.task, config, given.step)
    measure.find_task(run.language, given.task)
    measure.chosen_checkpoints(run, given.step)
    for row in measure.measure_baselines(run.language, given.task, config, run.folder / RESULTS):
        _print(row)
    _table(run, rows, given.step)


def flatness(given: Namespace) -> None:
    run = load_run(Path(given.run))
    _table(run, measure.measure_flatness(run, _config(FlatnessConfig, given), given.step), given.step)


def study(given: Namespace) -> int:
    config, out = load_study(given.study), Path(given.out)
    if given.workers is not None:
        config = replace(config, workers=given.workers)
    with _bar(None, "cells") as bar:

        def report(message: str, done: int, total: int) -> None:
            if bar.disable and message and done > bar.n:
                print(f"[{done}/{total}] {message}", file=sys.stderr)
            bar.total = total
            bar.set_postfix_str(message, refresh=False)
            bar.n = done
            bar.refresh()

        failures = run_study(config, out, report)
    for failure in failures:
        print(f"satlab: {failure}", file=sys.stderr)
    try:
        written = figures.draw([out], out / "figures")
    except InputError:
        if not failures:
            raise
        written = []
    _print({"study": given.out, "results": str(out / "results.csv"), "figures": [str(path) for path in written]})
    return 1 if failures else 0


def plot(given: Namespace) -> None:
    folders = [Path(folder) for folder in given.directories]
    out = Path(given.out) if given.out else folders[0] / "figures"
    for path in figures.draw(folders, out):
        print(path)


def _config(kind: type[T], given: Namespace) -> T:
    return from_mapping(kind, {f.name: given[f.name] for f in fields(kind)}, "")  # type: ignore[arg-type]


def _print(row: Any) -> None:
    print(json.dumps(row), flush=True)


def _table(run: Run, rows: Iterable[dict[str, Any]], step: int | None) -> None:
    """The rows as JSON lines, with a bar over the checkpoints."""
    with _bar(len(measure.chosen_checkpoints(run, step)), "checkpoints") as bar:
        seen = set()
        for row in rows:
            _print(row)
            seen.add(row["step"])
            bar.update(len(seen) - bar.n)


@contextmanager
def _bar(total: int | None, unit: str) -> Iterator[Any]:
    """A progress bar on a terminal, nothing where stderr is piped."""
    with tqdm(total=total, unit=f" {unit}", disable=not sys.stderr.isatty(), dynamic_ncols=True) as bar:
        if bar.disable:
            bar.n = 0
        yield bar


def _wandb(run: Run) -> Any:
    """A mirror of the metrics, offline where nobody is logged in; the record is metrics.jsonl."""
    import wandb

    settings = wandb.Settings(silent=True)
    if "WANDB_MODE" not in os.environ and not wandb.login(prompt=False):
        settings.mode = "offline"
    try:
        return wandb.init(
            project="satlab", name=run.folder.name, dir=run.folder, config=asdict(run.config), settings=settings
        )
    except wandb.Error as error:
        raise InputError(f"wandb cannot start ({error}); log in, or set WANDB_MODE=offline") from None
