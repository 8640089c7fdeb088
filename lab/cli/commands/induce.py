"""Read a grammar off bracketed trees: binarised, each rule with its relative frequency."""

from dataclasses import fields
from pathlib import Path

from ....errors import InputError, placed
from ..arguments import Arguments, Given


def add_arguments(arguments: Arguments) -> None:
    """The arguments of `satlab induce`."""
    trees = "a file of bracketed trees, or a directory of .mrg, .ptb and .txt files"
    arguments.add_argument("trees", help=trees)
    arguments.add_argument("--out", required=True, help="the grammar's file, grammar.pcfg; replaced if it is there")
    siblings = "number of following siblings that a binarised symbol's name keeps; all unless given"
    arguments.add_argument("--horizontal_markov", type=int | None, help=siblings)
    arguments.add_argument("--vertical_markov", type=int, default=0, help="ancestors that a symbol's name keeps")
    arguments.add_argument("--min_count", type=int, default=1, help="words rarer than this become UNK")
    arguments.add_flag("--strip_functions", help="cut labels to the category: NP-SBJ-1 to NP")
    arguments.add_flag("--collapse_unary", help="join chains of unary rules to one symbol: S+VP")
    arguments.add_flag("--keep_empty", help="keep traces (-NONE-) as if they were words")


def run(given: Given) -> None:
    """Writes the grammar, and prints its size and how far it is from critical.

    Raises:
        InputError: for an output that is no .pcfg file, and for trees that give no grammar.
    """
    from ....generators.pcfg.branching import branching_statistics
    from ....generators.pcfg.induce import Reading, induce
    from ....generators.pcfg.treebank import located_trees
    from ....system.disk import write_atomic
    from ....system.replaceable import check_replaceable
    from ...messages import command_line, say_next
    from ..output import print_row
    from ..progress import progress_bar

    out = Path(given.out)
    if out.suffix != ".pcfg" or not out.parent.is_dir():
        raise InputError(
            f"--out {out}: expected a file in a directory that exists, its name ending in .pcfg; correct it"
        )
    check_replaceable(out, "--out ")
    reading = Reading(**{each.name: getattr(given, each.name) for each in fields(Reading)})
    with progress_bar(None, "trees") as bar:
        trees, places = [], []
        for place, tree in located_trees(Path(given.trees)):
            trees.append(tree)
            places.append(place)
            bar.update()
    grammar = induce(trees, reading, given.trees, places)
    with placed(given.trees):
        text, statistics = grammar.to_text(), branching_statistics(grammar)
    write_atomic(out, text)
    words = {word for rule in grammar.productions for word in rule.rhs() if isinstance(word, str)}
    counted = {"trees": len(trees), "symbols": len(grammar.nonterminals), "rules": len(grammar.productions)}
    criticality = {"expected_length": statistics.expected_length, "distance_from_criticality": statistics.distance}
    print_row({"out": given.out} | counted | {"words": len(words)} | criticality)
    say_next(given.out, command_line("show", given.out), command_line("train", given.out, "--out", "RUN"))
