"""Reads bracketed trees, as treebanks store them, from files of one or more trees, and cleans them.

( (S (NP-SBJ (DT The) (NN dog)) (VP (VBD barked)) (. .)) )
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from ...errors import InputError
from ...system.replaceable import check_readable

if TYPE_CHECKING:
    import nltk

SUFFIXES = (".mrg", ".ptb", ".txt")
"""The suffixes, in lower or upper case, of the files that are read from a directory and its subdirectories."""

MOST_DEPTH = 300
"""The largest depth of nested brackets. It is bounded because nltk walks trees by recursion."""

EMPTY = "-NONE-"
"""The tag of traces and other elements without words."""

UNLABELLED = ""
"""The label of the outer brackets that the Penn Treebank puts around each tree."""


def read_trees(source: Path) -> "Iterator[nltk.Tree]":
    """The trees of a file, or of the files in a directory; see `located_trees`."""
    return (tree for _, tree in located_trees(source))


def located_trees(source: Path) -> "Iterator[tuple[str, nltk.Tree]]":
    """Reads the trees of a file, or of the files in a directory. Outer brackets without a label are removed.

    Args:
        source: the file or directory.

    Yields:
        Where the tree is, for messages, and the tree.

    Raises:
        InputError: for brackets that do not match or are nested too deep, words outside brackets, and brackets without
            a label or content, with file, tree and line; and if there is nothing to read.
    """
    if source.is_dir():
        paths = sorted(path for path in source.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
        if not paths:
            raise InputError(
                f"{source}: no file of trees here, expected the suffix {', '.join(SUFFIXES)}; rename the files"
            )
    elif source.is_file():
        paths = [source]
    else:
        check_readable(source, "bracketed trees or a directory of them")
        raise InputError(f"{source}: no such file, expected bracketed trees or a directory of them; check the path")
    for path in paths:
        try:
            text = path.read_text(encoding="utf-8-sig")
        except UnicodeDecodeError:
            raise InputError(f"{path}: not UTF-8 text, expected bracketed trees; convert it") from None
        found = 0
        for found, (line, bracketed) in enumerate(_outermost(path, text), 1):
            place = f"{path}, tree {found} (line {line})"
            yield place, _tree(place, bracketed)
        if not found and source.is_file():
            raise InputError(f"{path}: holds no tree, expected brackets such as (S (NP she) (VP ran)); check the file")


def _outermost(path: Path, text: str) -> Iterator[tuple[int, str]]:
    """Yields (line, text) of each outermost pair of brackets."""
    depth, begin, line, first_line, trees = 0, 0, 1, 1, 0
    for token in re.finditer(r"[()]|\n|(?:\\[()]|[^\s()])+", text):
        if token[0] == "\n":
            line += 1
        elif token[0] == "(":
            if depth == 0:
                begin, first_line = token.start(), line
            depth += 1
            if depth > MOST_DEPTH:
                raise InputError(
                    f"{path}, tree {trees + 1} (line {first_line}): brackets more than {MOST_DEPTH} deep in line "
                    f"{line}, expected the tree of a sentence; leave it out"
                )
        elif depth == 0:
            wrong = "a closing bracket without an opening one" if token[0] == ")" else f"'{token[0]}' outside brackets"
            raise InputError(f"{path}, line {line}: {wrong} after {trees} trees, expected '('; correct the file")
        elif token[0] == ")":
            depth -= 1
            if depth == 0:
                trees += 1
                yield first_line, text[begin : token.end()]
    if depth:
        escaped = " (a bracket after a backslash is part of a word)" if r"\)" in text else ""
        where = f"{path}, tree {trees + 1} (line {first_line})"
        raise InputError(f"{where}: {depth} brackets are never closed{escaped}; close them")


def _tree(where: str, bracketed: str) -> "nltk.Tree":
    import nltk

    try:
        tree = nltk.Tree.fromstring(bracketed, remove_empty_top_bracketing=True)
    except ValueError as error:
        raise InputError(f"{where}: {error}; correct the file") from None
    for part in tree.subtrees():
        if part.label() == UNLABELLED and (part is not tree or any(isinstance(child, str) for child in part)):
            raise InputError(f"{where}: an inner bracket has no label, expected one such as (NP ...); add it")
        if not len(part):
            raise InputError(f"{where}: the brackets of ({part.label()}) are empty, expected words; remove them")
    return tree


def without_empty(tree: "nltk.Tree") -> "nltk.Tree | None":
    """The tree without -NONE- and without nodes that dominate nothing else; None if no word is left."""
    import nltk

    if tree.label() == EMPTY:
        return None
    children = [child if isinstance(child, str) else without_empty(child) for child in tree]
    kept = [child for child in children if child is not None]
    return nltk.Tree(tree.label(), kept) if kept else None


def without_functions(tree: "nltk.Tree") -> "nltk.Tree":
    """The tree with categories as labels: NP for NP-SBJ-1 and NP=2. A label that begins with - stays (-LRB-)."""
    import nltk

    children = [child if isinstance(child, str) else without_functions(child) for child in tree]
    return nltk.Tree(re.sub(r"(?<=.)[-=].*", "", tree.label()) if tree.label()[:1] != "-" else tree.label(), children)
