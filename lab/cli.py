"""The command `satlab`: reads argv, prints results on stdout and messages on stderr, turns errors into one line."""

import os
import re
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import torch
from jsonargparse import ArgumentParser, Namespace

from .. import __version__
from ..errors import DivergedError, InputError, WorkerError, unknown
from ..train import TrainConfig
from . import commands
from .config import EvaluateConfig, FlatnessConfig, ProbeConfig, from_mapping, plain, read_yaml

LANGUAGE_HELP = "a preset's name, or a file: grammar.pcfg (NLTK's notation or p lhs -> rhs), hmm.npz, language.yaml"
LENGTH_HELP = "longest sentence of a grammar, or length of an HMM's; replaces what the language says"
OUT_HELP = "directory to write; an unfinished one is gone on with"
FORMAT_HELP = "parquet, or bin: one file train.bin of uint16 tokens, for trainers in the manner of nanoGPT"
WORKERS_HELP = "processes (ray: tasks) side by side; unless given, all cores where that is sooner done"
ENGINE_HELP = (
    "local: processes of this machine; ray: an existing Ray cluster (the one of RAY_ADDRESS, or this machine's)"
)
SHARD_HELP = "sentences a shard, part of what makes bytes equal; 16,384, or fewer where they are large, unless given"
CORPUS_HELP = ", or a corpus: its sentences are then read, pass after pass, and the held-out ones are fresh"


class Parser(ArgumentParser):
    """A parser whose every complaint is one line, with the nearest valid name."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        raise InputError(f"{self._explain(' '.join(message.split()))}; see {self.prog} --help")

    def _explain(self, message: str) -> str:
        options = [name for name in self._option_string_actions if name.startswith("--")]
        stray = re.search(r"[Uu]nrecognized arguments: (\S+)", message)
        if stray:
            name = stray[1].split("=")[0]
            return str(unknown("option" if name.startswith("-") else "argument", name, options))
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
        prog="satlab",
        description="Languages with known truth, models trained until they match it, and what tells those models apart.",
        version=__version__,
    )
    parsers = parser.add_subcommands(required=True, metavar="COMMAND")
    for name, (build, _) in COMMANDS.items():
        description = (build.__doc__ or "").strip()
        sub = Parser(allow_abbrev=False, prog=f"satlab {name}", description=description)
        build(sub)
        if name == "train" and config is not None:
            values = read_yaml(Path(config))
            from_mapping(TrainConfig, values, config)
            sub.set_defaults(values)
        parsers.add_subcommand(name, sub, help=description.splitlines()[0])
        sub.prog = f"satlab {name}"
    return parser


def _language(parser: Parser, more: str = "") -> None:
    parser.add_argument("language", type=str, help=LANGUAGE_HELP + more)
    parser.add_argument("--max_length", type=int | None, default=None, help=LENGTH_HELP)


def _run(parser: Parser) -> None:
    parser.add_argument("run", type=str, help="directory made by satlab train")
    parser.add_argument("--step", type=int | None, default=None, help="one checkpoint alone; all unless given")


def _generate(parser: Parser) -> None:
    """Write sentences of a language to disk: Parquet shards with latent variables, labels and, if wanted, the exact truth.

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
    parser.add_argument("--masking", type=str, default="one", help="which words are hidden: one, or bernoulli:p")
    parser.add_argument("--seed", type=int, default=0, help="of the sample")


def _show(parser: Parser) -> None:
    """Show what a language is like: sentences with their trees or states, exact statistics, the floor, the tasks."""
    _language(parser)
    parser.add_argument("--sentences", type=int, default=3, help="how many to print")
    parser.add_argument("--samples", type=int, default=10_000, help="sampled sentences that the estimates are over")
    parser.add_argument("--seed", type=int, default=0, help="of the sample")
    parser.add_argument(
        "--png", type=str | None, default=None, help="file for a picture of the first sentence's tree or states"
    )
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
    parser.add_argument("--model", type=str, default="bert-2x64", help="bert-LAYERSxWIDTH, bert-post-2x64 or lstm-1x64")
    parser.add_argument("--device", type=str, default="cpu", help="cpu or cuda")
    parser.add_argument("--wandb", action="store_true", help="mirror the metrics to Weights & Biases")
    parser.add_argument("--config", type=str | None, default=None, help="YAML file with any of the settings below")
    parser.add_class_arguments(TrainConfig, as_group=False)


def _evaluate(parser: Parser) -> None:
    """Measure KL(truth || model) of a run's checkpoints on a held-out set."""
    _run(parser)
    parser.add_class_arguments(EvaluateConfig, as_group=False)


def _probe(parser: Parser) -> None:
    """Measure how well a linear layer reads a task off a run's features, beside its baselines."""
    _run(parser)
    parser.add_argument("--task", type=str, required=True, help="a task of the language")
    parser.add_class_arguments(ProbeConfig, as_group=False)


def _flatness(parser: Parser) -> None:
    """Measure the trace of the Hessian of a run's checkpoints, in total and by kind of parameter."""
    _run(parser)
    parser.add_class_arguments(FlatnessConfig, as_group=False)


def _study(parser: Parser) -> None:
    """Train and measure a grid of models side by side, then draw the figures."""
    parser.add_argument("study", type=str, help="a study's YAML file, or the name of one that ships with satlab: demo")
    parser.add_argument("--out", type=str, required=True, help=OUT_HELP)
    parser.add_argument("--workers", type=int | None, default=None, help="cells side by side; all cores unless given")


def _plot(parser: Parser) -> None:
    """Draw figures from what runs and studies have recorded; no model is loaded."""
    parser.add_argument("directories", type=str, nargs="+", help="runs or studies")
    parser.add_argument("--out", type=str | None, default=None, help="where to; DIRECTORY/figures unless given")


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
    "study": (_study, commands.study),
    "plot": (_plot, commands.plot),
}


def _underscored(argument: str) -> str:
    """Options may be written with hyphens or underscores: --max-length=8 is --max_length=8."""
    name, equals, value = argument.partition("=")
    return name[:2] + name[2:].replace("-", "_") + equals + value if name.startswith("--") else argument


UNUSABLE_PATH = (FileExistsError, FileNotFoundError, IsADirectoryError, NotADirectoryError, PermissionError)


def _config_file(argv: Sequence[str]) -> str | None:
    """What `satlab train` is given as --config, if anything."""
    if not argv or argv[0] != "train":
        return None
    for here, following in zip(argv, [*argv[1:], ""], strict=True):
        if here == "--config" or here.startswith("--config="):
            return here.partition("=")[2] or following
    return None


def run(arguments: Sequence[str]) -> int:
    """Runs one command; its exit status. Bad input ends with one line on stderr and status 2."""
    argv = [_underscored(argument) for argument in arguments]
    warnings.showwarning = _show_warning
    if "OMP_NUM_THREADS" not in os.environ:
        # Models and batches of this size lose more by waiting for a second thread than it does for them.
        torch.set_num_threads(1)
    try:
        chosen: Namespace = make_parser(_config_file(argv)).parse_args(argv)
        name = chosen.subcommand
        return int(COMMANDS[name][1](chosen[name]) or 0)
    except InputError as error:
        print(f"satlab: {error}", file=sys.stderr)
        return 2
    except (DivergedError, WorkerError) as error:
        print(f"satlab: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:
        # Whoever read the output has seen enough; nothing more can be said to them.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 141
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        print(
            f"satlab: {where}{error.strerror or error}; choose another place or make room, then run it again",
            file=sys.stderr,
        )
        return 2 if isinstance(error, UNUSABLE_PATH) else 1
    except KeyboardInterrupt:
        print("satlab: interrupted; run the same command again to go on", file=sys.stderr)
        return 130


def _show_warning(message: Warning | str, category: type[Warning], *rest: Any, **named: Any) -> None:
    if category is UserWarning:
        print(f"satlab: warning: {message}", file=sys.stderr)


def main() -> None:
    status = run(sys.argv[1:])
    if sys.stdout is not None:
        sys.stdout.flush()
    sys.exit(status)
