"""Read a grammar off bracketed trees: binarised, each rule with its relative frequency."""

from pathlib import Path

from jsonargparse import ArgumentParser, Namespace

from ....errors import InputError
from ....generators.pcfg.branching import branching_statistics
from ....generators.pcfg.induce import Reading
from ....generators.pcfg.induce import induce as read_off
from ....generators.pcfg.treebank import located_trees
from ....system.disk import write_atomic
from ..arguments import settings_of
from ..output import print_row
from ..progress import progress_bar


def add_arguments(parser: ArgumentParser) -> None:
    """The arguments of `satlab induce`."""
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


def run(given: Namespace) -> None:
    out = Path(given.out)
    if out.suffix != ".pcfg" or not out.parent.is_dir() or out.is_dir():
        raise InputError(
            f"--out {out}: expected a file in a directory that exists, its name ending in .pcfg; correct it"
        )
    reading = settings_of(Reading, given)
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
    print_row({"out": given.out} | counted | {"words": len(words)} | criticality)
