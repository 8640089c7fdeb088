"""Files of bracketed trees: which are read, and what is wrong with one, by file, tree and line."""

import shlex

import nltk
import pytest

from satlab.errors import InputError
from satlab.generators.pcfg.induce import induce
from satlab.generators.pcfg.treebank import read_trees
from satlab.lab.cli import main as cli


def test_a_directory_is_read_in_order_and_below(bank, tmp_path):
    bank("(S (A b))", "wsj/01.MRG")
    bank("(S (A a))", "wsj/00.ptb")
    bank("(S (A c))\n", "wsj/02.txt")
    bank("no trees", "wsj/readme.md")
    bank("\n", "wsj/03.mrg")
    assert [tree.leaves() for tree in read_trees(tmp_path / "wsj")] == [["a"], ["b"], ["c"]]


BAD = [
    ("(S (A a))\n(S (A a)\n", "tree 2 (line 2): 1 brackets are never closed; close them"),
    ("(S (A \\) (B b))\n", "1 brackets are never closed (a bracket after a backslash is part of a word); close them"),
    ("(S (A a))\n\n(S (A a)))", "line 3: a closing bracket without an opening one after 2 trees"),
    ("(S (A a))\nS (A a)", "line 2: 'S' outside brackets after 1 trees"),
    ("(S (A a) ( b))\n", "tree 1 (line 1): the brackets of (b) are empty"),
    ("(S (A a))\n(S (A a) ((B b)))\n", "tree 2 (line 2): an inner bracket has no label"),
    ("(S (A a))\n(S (A) (B b))", "tree 2 (line 2): the brackets of (A) are empty"),
    ("()", "tree 1 (line 1): the brackets of () are empty"),
    ("", "holds no tree"),
    ("(S (A a))\n" + "(S\n" * 400 + "a" + ")" * 400, "tree 2 (line 2): brackets more than 300 deep in line 302"),
    ("(S (A a))\n(" * 2 + "S (A a))" * 2, "tree 2 (line 2): an inner bracket has no label"),
]


@pytest.mark.parametrize(("text", "message"), BAD, ids=[message for _, message in BAD])
def test_malformed_trees_name_file_tree_and_line(text, message, bank, tmp_path, capsys, monkeypatch):
    bank(text)
    monkeypatch.chdir(tmp_path)
    assert cli.run(shlex.split("induce bank.mrg --out g.pcfg")) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("satlab: bank.mrg")
    assert message in captured.err
    assert (captured.err.count("\n"), captured.out) == (1, "")
    assert [path.name for path in tmp_path.iterdir()] == ["bank.mrg"]


def wide(children):
    return "(S " + " ".join(f"(A{i} a)" for i in range(children)) + ")"


@pytest.mark.parametrize(("depth", "children"), [(0, 600), (0, 5000), (250, 400)])
def test_a_node_too_wide_to_binarise(bank, depth, children):
    """Deep and wide together, each by itself would do."""
    path = bank("(S (A a))\n" + "(S " * depth + wide(children) + ")" * depth)
    with pytest.raises(
        InputError, match=rf"tree 2: cannot be binarised, as {children} children of one symbol would become"
    ):
        induce(read_trees(path))


@pytest.mark.parametrize("depth", [2000, 10_000])
def test_trees_from_elsewhere_that_are_too_deep(depth):
    tree = nltk.Tree("S", ["a"])
    for _ in range(depth):
        tree = nltk.Tree("S", [tree])
    with pytest.raises(InputError, match=r"tree 2: nested too deeply, expected at most 300 levels; leave the tree out"):
        induce([nltk.Tree("S", ["a"]), tree])


@pytest.mark.parametrize("depth", [10, 299])
def test_trees_as_deep_as_they_may_be(bank, depth):
    grammar = induce(read_trees(bank("(S " * depth + "(A a)" + ")" * depth)))
    assert max(rule.prob() for rule in grammar.productions if rule.rhs() == (rule.lhs(),)) == pytest.approx(
        (depth - 1) / depth
    )


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("deep.mrg", "(S (A a))\n" + "(S\n" * 400 + "a" + ")" * 400, "bank/deep.mrg, tree 2 (line 2)"),
        ("WIDE.MRG", "(S (A a))\n\n" + wide(600), "bank/WIDE.MRG, tree 2 (line 3): cannot be binarised"),
        ("none.mrg", "(S (-NONE- *))", "bank: none of the 1 trees has a word"),
    ],
)
def test_every_message_names_the_file_or_the_directory(name, text, message, bank, tmp_path, monkeypatch, capsys):
    bank(text, f"bank/{name}")
    monkeypatch.chdir(tmp_path)
    assert cli.run(shlex.split("induce bank --out g.pcfg")) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith(f"satlab: {message}")
    assert (captured.err.count("\n"), captured.out) == (1, "")
    assert not (tmp_path / "g.pcfg").exists()
