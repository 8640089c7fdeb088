"""The command `satlab`: reads argv, prints results on stdout and messages on stderr, turns errors into one line."""

import os
import re
import sys
import warnings
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

import torch
from jsonargparse import ArgumentParser, Namespace

from ... import __version__
from ...errors import InputError, unknown
from ...settings import docstring
from ...train import TrainConfig
from ...train.parallel.world import World
from ..config import EvaluateConfig, FlatnessConfig, ProbeConfig, from_mapping, plain, read_yaml
from ..messages import show_warning
from ..unforeseen import OPTION, wants_traceback, without_option
from . import commands, model_commands, report_commands, study_commands
from .arguments import check_given, check_numbers, config_file, underscored
from .exit import ending
from .help import HelpFormatter

LANGUAGE_HELP = "a preset's name, a file (.pcfg in NLTK's notation or p lhs -> rhs, .npz, .yaml) or a corpus directory"
LENGTH_HELP = "longest sentence of a grammar, or length of an HMM's; replaces what the language says"
OUT_HELP = "directory to write; an unfinished one is gone on with"
FORMAT_HELP = "parquet, or bin: one file train.bin of uint16 tokens, for trainers in the manner of nanoGPT"
WORKERS_HELP = "processes (ray: tasks) side by side, at most one a shard; unless given, all cores where that pays"
ENGINE_HELP = "local: processes of this machine; ray: an existing Ray cluster (of RAY_ADDRESS, or this machine's)"
SHARD_HELP = "sentences a shard, part of what makes bytes equal; 16,384, or fewer where they are large, unless given"
MODEL_HELP = "bert-LAYERSxWIDTH, or bert-post (as published), gpt (left to right), lstm or lstm-residual of such a size"
CACHE_HELP = (
    "directory for features that do not fit in memory, gone in the end; the system's temporary one unless given"
)
TRACEBACK_HELP = "where an error comes from, for a report to the developers; of every command"
CORPUS_HELP = ", whose sentences are then read, pass after pass, while the held-out ones are fresh"


class Parser(ArgumentParser):
    """A parser whose every complaint is one line, with the nearest valid name, and whose help writes hyphens."""

    def format_help(self, *arguments: Any, **named: Any) -> str:
        text = super().format_help(*arguments, **named)
        for name in (name for name in self._option_string_actions if "_" in name):
            for shown in (name, name[2:].upper()):
                text = re.sub(rf"(?<!\w){shown}(?!\w)", shown.replace("_", "-"), text)
        return text

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        message = " ".join(message.split())
        missing = re.search(r"required: (\w+)\.(.*)", message)
        if missing and missing[1] in COMMANDS:
            self._missing(missing[1], missing[2].replace(f"{missing[1]}.", "").split(", "))
        raise InputError(f"{self._explain(message)}; see {self.prog} --help")

    def _missing(self, command: str, names: list[str]) -> NoReturn:
        """What a command was not given, as it is to be written."""
        parsers = self._subcommands_action
        options = parsers._name_parser_map[command]._option_string_actions if parsers is not None else {}
        written = [f"--{name.replace('_', '-')}" if f"--{name}" in options else name.upper() for name in names]
        raise InputError(f"{', '.join(written)} missing, expected a value; give it; see satlab {command} --help")

    def _explain(self, message: str) -> str:
        options = [name for name in self._option_string_actions if name.startswith("--")]
        stray = re.search(r"[Uu]nrecognized arguments: (\S+)", message)
        if stray:
            name = stray[1].split("=")[0]
            if name.startswith("-"):
                return str(unknown("option", name.replace("_", "-"), [known.replace("_", "-") for known in options]))
            return str(unknown("argument", name, options))
        key = re.search(
            r"does not accept (?:option|nested key|key) '([^']+)'|[Kk]ey ['\"]([^'\"]+)['\"] is not expected", message
        )
        if key:
            return str(unknown("key", key[1] or key[2], [name.removeprefix("--") for name in options]))
        choice = re.search(r"(?:invalid choice: '?|subcommand[^']*')([\w.-]+)'?.*choose from (.*)", message)
        if choice:
            return str(unknown("command", choice[1], re.findall(r"[\w-]+", choice[2])))
        return plain(message)


def make_parser(config: str | None = None) -> Parser:
    """The parser of all commands; where `satlab train` is given a config file, its values are the defaults."""
    parser = Parser(
        allow_abbrev=False,
        formatter_class=HelpFormatter,
        prog="satlab",
        description="Languages with known truth, models trained until they match it, and what tells those models apart.",
        version=__version__,
    )
    parser.add_argument(OPTION, action="store_true", help=TRACEBACK_HELP)
    parsers = parser.add_subcommands(required=True, metavar="COMMAND")
    for name, (build, _) in COMMANDS.items():
        description = docstring(build).strip()
        how: dict[str, Any] = {"allow_abbrev": False, "formatter_class": HelpFormatter}
        sub = Parser(prog=f"satlab {name}", description=description, **how)
        build(sub)
        if name == "train" and config is not None:
            values = read_yaml(Path(config))
            from_mapping(TrainConfig, values, config)
            sub.set_defaults(values)
        parsers.add_subcommand(name, sub, help=description.splitlines()[0])
        sub.prog = f"satlab {name}"
        sub.add_argument(OPTION, action="store_true", help=TRACEBACK_HELP)
    return parser


def _language(parser: Parser, more: str = "") -> None:
    parser.add_argument("language", type=str, help=LANGUAGE_HELP + more)
    parser.add_argument("--max_length", type=int | None, default=None, help=LENGTH_HELP)


def _run(parser: Parser) -> None:
    parser.add_argument("run", type=str, help="directory made by satlab train")
    parser.add_argument("--step", type=int | None, default=None, help="one checkpoint alone; all unless given")
    parser.add_argument("--device", type=str, default="cpu", help="cpu or cuda")


def _settings(parser: Parser, kind: type) -> None:
    kind.__doc__ = docstring(kind)
    parser.add_class_arguments(kind)


def _generate(parser: Parser) -> None:
    """Write sentences to disk: Parquet shards with latent variables, labels and, if wanted, the exact truth.

    An interrupted corpus is gone on with. The same seed gives the same bytes, on however many workers.
    """
    _language(parser)
    parser.add_argument("--sentences", type=int, required=True, help="how many")
    parser.add_argument("--out", type=str, required=True, help=OUT_HELP)
    parser.add_argument("--seed", type=int, default=0, help="the same seed gives the same bytes")
    parser.add_argument("--truth", action="store_true", help="add p(x_t | the other words) at one position a sentence")
    parser.add_argument("--format", type=str, default="parquet", help=FORMAT_HELP)
    parser.add_argument("--workers", type=int | None, default=None, help=WORKERS_HELP)
    parser.add_argument("--engine", type=str, default="local", help=ENGINE_HELP)
    parser.add_argument("--shard_sentences", type=int | None, default=None, help=SHARD_HELP)


def _verify(parser: Parser) -> None:
    """Find the damaged and missing files of a corpus, one JSON line each; status 1 where there are any.

    What is wrong is found by SHA-256, and repaired by making the shard again from the seed.
    """
    parser.add_argument("corpus", type=str, help="directory made by satlab generate")
    parser.add_argument("--repair", action="store_true", help="make damaged and missing shards again")


def _floor(parser: Parser) -> None:
    """Print the least loss any model can reach: the entropy of the truth, nats, as one JSON line."""
    _language(parser)
    parser.add_argument("--sentences", type=int, default=20_000, help="sampled sentences the mean is over")
    parser.add_argument("--masking", type=str, default="one", help="what is predicted: one, bernoulli:p or next")
    parser.add_argument("--seed", type=int, default=0, help="of the sample")


def _show(parser: Parser) -> None:
    """Show what a language is like: sentences with their trees or states, exact statistics, the floor, the tasks."""
    _language(parser)
    parser.add_argument("--sentences", type=int, default=3, help="how many to print")
    parser.add_argument(
        "--samples", type=int | None, default=None, help="for the estimates; 10,000, or about 20 s of them"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the sample")
    parser.add_argument("--png", type=str | None, default=None, help="file for a picture of the first sentence")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of text")


def _induce(parser: Parser) -> None:
    """Read a grammar off bracketed trees: binarised, each rule with its relative frequency."""
    parser.add_argument(
        "trees", type=str, help="a file of bracketed trees, or a directory of .mrg, .ptb and .txt files"
    )
    parser.add_argument(
        "--out", type=str, required=True, help="the grammar's file, grammar.pcfg; replaced if it is there"
    )
    siblings = "siblings to come that a binarised symbol's name keeps; all unless given"
    parser.add_argument("--horizontal_markov", type=int | None, default=None, help=siblings)
    parser.add_argument("--vertical_markov", type=int, default=0, help="ancestors that a symbol's name keeps")
    parser.add_argument("--min_count", type=int, default=1, help="words rarer than this become UNK")
    parser.add_argument("--strip_functions", action="store_true", help="cut labels to the category: NP-SBJ-1 to NP")
    parser.add_argument("--collapse_unary", action="store_true", help="join chains of unary rules to one symbol: S+VP")
    parser.add_argument("--keep_empty", action="store_true", help="keep traces (-NONE-) as if they were words")


def _train(parser: Parser) -> None:
    """Train a masked language model until KL(truth || model) is negligible."""
    _language(parser, CORPUS_HELP)
    parser.add_argument("--out", type=str, required=True, help=OUT_HELP)
    parser.add_argument("--model", type=str, default="bert-2x64", help=MODEL_HELP)
    parser.add_argument("--device", type=str, default="cpu", help="cpu or cuda")
    parser.add_argument("--wandb", action="store_true", help="mirror the metrics to Weights & Biases")
    parser.add_argument("--config", type=str | None, default=None, help="YAML file with any of the settings below")
    _settings(parser, TrainConfig)


def _evaluate(parser: Parser) -> None:
    """Measure KL(truth || model) of a run's checkpoints on a held-out set."""
    _run(parser)
    _settings(parser, EvaluateConfig)


def _probe(parser: Parser) -> None:
    """Measure how well a linear layer reads a task off a run's features, beside its baselines.

    Or how well the model does it once it is fine-tuned.
    """
    _run(parser)
    parser.add_argument("--task", type=str, required=True, help="a task of the language")
    parser.add_argument("--cache", type=str | None, default=None, help=CACHE_HELP)
    _settings(parser, ProbeConfig)


def _flatness(parser: Parser) -> None:
    """Measure the trace of the Hessian of a run's checkpoints, in total and by kind of parameter."""
    _run(parser)
    _settings(parser, FlatnessConfig)


def _export(parser: Parser) -> None:
    """Write a checkpoint of a bert-post model as a directory that Hugging Face's BertForMaskedLM reads."""
    parser.add_argument("run", type=str, help="directory made by satlab train")
    parser.add_argument("--step", type=int | None, default=None, help="the checkpoint; the last unless given")
    parser.add_argument("--out", type=str, required=True, help="directory to write: config.json, model.safetensors")


COMMANDS: dict[str, tuple[Any, Any]] = {
    "generate": (_generate, commands.generate),
    "verify": (_verify, commands.verify),
    "floor": (_floor, commands.floor),
    "show": (_show, commands.show),
    "induce": (_induce, commands.induce),
    "train": (_train, commands.train),
    "evaluate": (_evaluate, commands.evaluate),
    "probe": (_probe, commands.probe),
    "flatness": (_flatness, commands.flatness),
    "export": (_export, commands.export),
    **model_commands.COMMANDS,
    **study_commands.COMMANDS,
    **report_commands.COMMANDS,
}


def run(arguments: Sequence[str]) -> int:
    """Runs one command; its exit status. What goes wrong ends with one line on stderr, and status 2 where input is bad."""
    with_traceback = wants_traceback(arguments)
    argv = [underscored(argument) for argument in without_option(arguments)]
    warnings.showwarning = show_warning
    if "OMP_NUM_THREADS" not in os.environ:
        # Models and batches of this size lose more by waiting for a second thread than it does for them.
        torch.set_num_threads(1)
    try:
        check_given(argv)
        chosen: Namespace = make_parser(config_file(argv)).parse_args(argv)
        name = chosen.subcommand
        if name != "train" and (size := World.from_environment().size) > 1:
            raise InputError(
                f"satlab {name} in {size} processes, expected one: torchrun is for satlab train; leave it out"
            )
        check_numbers(name, vars(chosen[name]))
        return int(COMMANDS[name][1](chosen[name]) or 0)
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - whatever happens is said in one line
        return ending(error, with_traceback)


def main() -> None:
    try:
        status = run(sys.argv[1:])
    except SystemExit as ended:
        status = int(ended.code or 0)
    status = _flushed(status)
    if os.environ.get("WORLD_SIZE", "1") != "1":
        # The others may be gone, and nothing here is to wait for them; gloo's threads now and then abort an orderly exit.
        sys.stderr.flush()
        os._exit(status)
    sys.exit(status)


def _flushed(status: int) -> int:
    """Writes what stdout still holds; the exit status, which is that of the error where this fails and nothing did before."""
    try:
        sys.stdout.flush()
    except OSError as error:
        status = status or ending(error)
        # What cannot be written would be tried again, and complained of, at the interpreter's end.
        with suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    return status
