"""The commands about sizes of models: their parsers, and what they do."""

import json
from pathlib import Path
from typing import Any

from jsonargparse import ArgumentParser, Namespace

from ...errors import InputError, at_least
from ...generators import load_language
from ...models.widen import ADDED
from ..describe.sizes import as_table, size_rows
from ..runs.enlarge import enlarge
from ..runs.run import load_run

WORDS, LENGTH = 200, 32
"""Of the grammar of Liu et al. 2022."""


def _models(parser: ArgumentParser) -> None:
    """List the published sizes of models and how many parameters they have: for a language, or a number of words.

    gpt- and bert-post- take the same sizes as bert-. Any other bert-LAYERSxWIDTH, bert-post-, gpt-, lstm- or
    lstm-residual-LAYERSxWIDTH can be trained as well.
    """
    words = f"number of words, {WORDS} unless a language is given"
    length = f"longest sentence, which sets the number of positions; {LENGTH} unless a language is given"
    parser.add_argument(
        "language", type=str | None, nargs="?", default=None, help="a preset's name, or a language's file"
    )
    parser.add_argument("--vocab", type=int | None, default=None, help=words)
    parser.add_argument("--max_length", type=int | None, default=None, help=length)
    parser.add_argument("--json", action="store_true", help="print a JSON line for each size instead of a table")


def models(given: Namespace) -> None:
    words, length = given.vocab, given.max_length
    if given.language is not None:
        if words is not None:
            raise InputError(f"language '{given.language}' and --vocab {words}: expected one of the two; leave one out")
        language = load_language(given.language, length)
        words, length = language.vocab_size, language.max_length
    words, length = WORDS if words is None else words, LENGTH if length is None else length
    at_least("vocab", words, 1)
    at_least("max_length", length, 1)
    rows = list(size_rows(words, length))
    if not given.json:
        print(as_table(rows))
        return
    for row in rows:
        print(json.dumps(row))


def _widen(parser: ArgumentParser) -> None:
    """Write a run's model as a larger one that computes the same: wider by a whole number, layers added on top.

    Liu et al. 2022, B.4. Prints the numbers of parameters, and the greatest difference of logits that rounding leaves.
    """
    parser.add_argument("run", type=str, help="directory made by satlab train")
    parser.add_argument("--to", type=str, required=True, help="the larger model, for example bert-6x320")
    parser.add_argument(
        "--out", type=str, required=True, help="new or empty directory for the larger one, a run that can be measured"
    )
    parser.add_argument("--step", type=int | None, default=None, help="a checkpoint's; the last unless given")
    filling = "what added layers are filled with: zero, or initial (as in a new model, outgoing weights zero)"
    parser.add_argument("--added", type=str, default=ADDED[0], help=filling)
    sentences = "sampled sentences on which logits are compared"
    parser.add_argument("--sentences", type=int, default=64, help=sentences)


def widen(given: Namespace) -> None:
    at_least("sentences", given.sentences, 1)
    run = load_run(Path(given.run))
    print(json.dumps(enlarge(run, given.to, Path(given.out), given.step, given.added, given.sentences)), flush=True)


COMMANDS: dict[str, tuple[Any, Any]] = {"models": (_models, models), "widen": (_widen, widen)}
