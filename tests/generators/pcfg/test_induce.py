"""Grammars read off bracketed trees: the files and their oddities, against nltk.induce_pcfg and counts made by hand."""

import json
import math
import shlex
from collections import Counter

import nltk
import pytest
import torch
from support.hints import without_hint

from satlab.errors import InputError
from satlab.generators import PCFG, load_language
from satlab.generators.pcfg.branching import branching_statistics
from satlab.generators.pcfg.grammar import check, read_text
from satlab.generators.pcfg.induce import Reading, induce
from satlab.generators.pcfg.treebank import read_trees, without_empty, without_functions
from satlab.lab.cli import main as cli

TOY = """
(S (NP (DT the) (NN dog)) (VP (VBD saw) (NP (DT a) (NN cat))))
(S (NP (PRP it)) (VP (VBD ran)))
(S (NP (NP (DT the) (NN cat)) (PP (IN of) (NP (PRP it)))) (VP (VBD ran)))
"""
ODD = r"""
( (S (NP-SBJ-1 (DT The) (JJ old) (NN dog)) (VP (VBD ran) (NP (-NONE- *T*-1)) (ADVP|PRT (RB away))) (. .)) )

( (S
    (`` ``) (NP=2 (PRP$ my) (NN cat)) (VP (VBZ 's) (ADJP (JJ old)))
    (, ,) ('' '') (. !) )
)
( (FRAG (NP (# #) (CD 3\/4)) (-LRB- -LRB-) (NP ($ $) (CD 10)) (-RRB- -RRB-)) )
(S (NP He) (VP ran and (VB jumped) home))
((NP (NN Fire)) (. !))
(X-9 (-NONE- *))
(S (S (S (NP (PRP it))) (: ;) (S (VP (VB go)))) (NP (NONE kept)))
( (S (NP (-NONE- *)) (VP (VB stop) (S (NP-SBJ (-NONE- *-1)) (VP (VBG barking))))) )(S (NP (PRP it)) (VP (VB go)))
( (S (VP (VB say) (`` ") (NP (NN %) (NN |))) (. .)) )
"""
"""Ten trees: outer brackets, traces, function tags, punctuation as tags and words, words beside symbols."""


def frequencies(grammar):
    return {(str(r.lhs()), tuple(map(str, r.rhs()))): r.prob() for r in grammar.productions}


@pytest.mark.parametrize(("horizontal", "vertical"), [(None, 0), (0, 0), (1, 1), (2, 0), (1, 2)])
def test_the_same_as_nltk_by_hand(horizontal, vertical, bank):
    productions = []
    for line in TOY.strip().split("\n"):
        tree = nltk.Tree.fromstring(line)
        tree.chomsky_normal_form(horzMarkov=horizontal, vertMarkov=vertical)
        productions += tree.productions()
    theirs = nltk.induce_pcfg(nltk.Nonterminal("S"), productions)
    ours = induce(read_trees(bank(TOY)), Reading(horizontal, vertical))
    assert str(ours.start) == str(theirs.start())
    assert frequencies(ours) == frequencies(check(theirs.start(), theirs.productions()))


def test_counts_by_hand(bank):
    found = frequencies(induce(read_trees(bank(TOY))))
    assert found["NP", ("DT", "NN")] == 3 / 6
    assert found["NP", ("NP", "PP")] == 1 / 6
    assert found["VP", ("VBD",)] == 2 / 3
    assert found["NN", ("cat",)] == 2 / 3


@pytest.mark.parametrize(
    "reading",
    [
        Reading(),
        Reading(strip_functions=True),
        Reading(keep_empty=True),
        Reading(collapse_unary=True),
        Reading(min_count=2, horizontal_markov=0, vertical_markov=1, strip_functions=True),
        Reading(horizontal_markov=1, vertical_markov=2),
    ],
)
@pytest.mark.filterwarnings("ignore:1 of 10 trees have no word")
def test_odd_trees_become_a_grammar_that_reads_back_and_is_consistent(reading, bank, tmp_path):
    """The expected length under relative frequencies is the mean length of the trees (Chi 1999)."""
    trees = list(read_trees(bank(ODD)))
    assert len(trees) == 10
    grammar = induce(trees, reading)
    kept = [tree if reading.keep_empty else without_empty(tree) for tree in trees]
    lengths = [len(tree.leaves()) for tree in kept if tree is not None]
    found = branching_statistics(grammar)
    assert found.expected_length == pytest.approx(sum(lengths) / len(lengths), rel=1e-12)
    assert 0 <= found.radius < 1
    (tmp_path / "g.pcfg").write_text(grammar.to_text())
    language = load_language(tmp_path / "g.pcfg", 20)
    assert language.grammar == grammar
    language.save(str(tmp_path / "again"))
    assert load_language(tmp_path / "again.yaml").grammar == grammar


@pytest.mark.filterwarnings("ignore:1 of 10 trees have no word")
def test_what_becomes_of_the_oddities(bank):
    trees = list(read_trees(bank(ODD)))
    found = frequencies(induce(trees))
    roots = {right: p for (left, right), p in found.items() if left == "TOP"}
    assert roots == {("S",): 7 / 9, ("FRAG",): 1 / 9, ("NP", "."): 1 / 9}
    assert found["VP", ("VBD", "ADVP|PRT")] == 1 / 8
    assert found["''", ("''",)] == 1
    assert found["#", ("#",)] == 1
    assert found["$", ("$",)] == 1
    assert found["CD", (r"3\/4",)] == 0.5
    assert found["VP", ("'ran'", "VP|<'and'-VB-'home'>")] == 1 / 8
    assert ("-NONE-", ("*",)) not in found
    assert found["NONE", ("kept",)] == 1
    assert ("-NONE-", ("*",)) in frequencies(induce(trees, Reading(keep_empty=True)))
    stripped = frequencies(induce(trees, Reading(strip_functions=True)))
    assert {left for left, _ in found} >= {"NP-SBJ-1", "NP=2"}
    assert not {left for left, _ in stripped} & {"NP-SBJ-1", "NP=2", "NP-SBJ"}
    assert {"-LRB-", "-RRB-"} <= {left for left, _ in stripped}


@pytest.mark.filterwarnings("ignore:1 of 10 trees have no word")
def test_rare_words_become_unk(bank):
    trees = list(read_trees(bank(ODD)))
    words = Counter(word for tree in trees for word in (without_empty(tree) or nltk.Tree("", [])).leaves())
    grammar = induce(trees, Reading(min_count=3))
    left = {word for rule in grammar.productions for word in rule.rhs() if isinstance(word, str)}
    assert left == {word for word, n in words.items() if n >= 3} | {"UNK"}


def test_chains_of_unary_rules_stay_unless_collapsed(bank):
    path = bank("(S (VP (VB (X go))) )\n(S (VP (VP (VB run))))")
    assert ("VP", ("VP",)) in frequencies(induce(read_trees(path)))
    found = frequencies(induce(read_trees(path), Reading(collapse_unary=True)))
    assert found == {
        ("S", ("VP+VB",)): 0.5,
        ("VP+VB", ("X",)): 1.0,
        ("X", ("go",)): 1.0,
        ("S", ("VP+VP",)): 0.5,
        ("VP+VP", ("VB",)): 1.0,
        ("VB", ("run",)): 1.0,
    }


def test_the_fresh_start_symbol_is_fresh(bank):
    grammar = induce(read_trees(bank("(TOP (A a))\n(B b)\n((A a) (B b))")))
    assert str(grammar.start) == "TOP'"
    assert frequencies(grammar)["TOP'", ("TOP",)] == pytest.approx(1 / 3)
    assert frequencies(grammar)["TOP'", ("A", "B")] == pytest.approx(1 / 3)
    assert read_text(grammar.to_text()) == grammar


def test_the_trees_given_are_left_as_they_are():
    trees = [nltk.Tree.fromstring("(S (A a) (B b) (C c) d)")]
    before = str(trees[0])
    induce(trees, Reading(min_count=2, collapse_unary=True, keep_empty=True))
    assert str(trees[0]) == before


def test_a_word_beside_symbols_is_not_taken_for_a_symbol_of_its_name(bank):
    grammar = induce(read_trees(bank("(S (A a) B (C c))\n(S (A a) (B b) (C c))")))
    found = frequencies(grammar)
    assert found["S", ("A", "S|<'B'-C>")] == 0.5
    assert found["S", ("A", "S|<B-C>")] == 0.5


@pytest.mark.parametrize(
    ("trees", "options"),
    [
        ("(S (X x) (A-B y) (C z))\n(S (W w) (A v) (B-C u))", {}),
        ("(S (A a) (B b) (C c))\n(S (S|<B-C> (D d)) (E e))", {}),
        ("(S (VP+VB go) (A a))\n(S (VP (VB run)) (A a))", {"collapse_unary": True}),
        ("(S (A (B^<A> b)) (C c))\n(S (A (B e)) (C c))", {"vertical_markov": 1}),
    ],
)
def test_symbols_that_would_have_one_name_stay_two(trees, options, bank):
    grammar = induce(read_trees(bank(trees)), Reading(**options))
    seen = {" ".join(tree.leaves()) for tree in map(nltk.Tree.fromstring, trees.split("\n"))}
    found = PCFG(grammar, 3)
    sentences = {line for line in found.decode(found.sample(200, torch.Generator().manual_seed(1)))}
    assert sentences == seen
    assert read_text(grammar.to_text()) == grammar


def test_labels():
    tree = nltk.Tree.fromstring("(S-TPC-1 (NP=2 (-LRB- -LRB-) (NN-TL x)) (-NONE- *) (WHNP-1 (-NONE- 0)))")
    assert str(without_functions(without_empty(tree))) == "(S (NP (-LRB- -LRB-) (NN x)))"


def test_nothing_but_traces(bank):
    with pytest.raises(InputError, match="none of the 2 trees has a word"):
        induce(read_trees(bank("(S (-NONE- *))\n(S (NP (-NONE- *)))")))


@pytest.mark.parametrize(
    ("line", "fragments"),
    [
        ("induce nowhere.mrg --out g.pcfg", ["nowhere.mrg", "no such file"]),
        ("induce empty --out g.pcfg", ["empty", "no file of trees", ".mrg"]),
        ("induce latin.mrg --out g.pcfg", ["latin.mrg", "not UTF-8"]),
        ("induce bank.mrg --out g.txt", ["g.txt", ".pcfg"]),
        ("induce bank.mrg --out nowhere/g.pcfg", ["nowhere/g.pcfg", "directory that exists"]),
        ("induce bank.mrg --out empty.pcfg", ["empty.pcfg"]),
        ("induce bank.mrg", ["out", "missing"]),
        ("induce bank.mrg --out g.pcfg --min_count 0", ["min_count is 0", "at least 1"]),
        ("induce bank.mrg --out g.pcfg --horizontal_markov -1", ["horizontal_markov is -1", "at least 0"]),
        ("induce bank.mrg --out g.pcfg --vertical-markov x", ["vertical_markov is 'x'", "expected an integer"]),
        ("induce bank.mrg --out g.pcfg --strip", ["unknown option '--strip'", "--strip-functions"]),
    ],
)
def test_bad_input_is_one_line_and_writes_nothing(line, fragments, bank, refused, tmp_path):
    bank(TOY)
    (tmp_path / "latin.mrg").write_bytes("(S (A \xe9))".encode("latin-1"))
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty.pcfg").mkdir()
    refused(line, *fragments)


def test_the_command(bank, tmp_path, monkeypatch, capsys):
    bank(ODD)
    monkeypatch.chdir(tmp_path)
    line = "induce bank.mrg --out g.pcfg --strip-functions --min-count 2 --horizontal-markov=1"
    assert cli.run(shlex.split(line)) == 0
    captured = capsys.readouterr()
    assert without_hint(captured.err) == "satlab: warning: bank.mrg: 1 of 10 trees have no word; left out\n"
    row = json.loads(captured.out)
    assert list(row) == ["out", "trees", "symbols", "rules", "words", "expected_length", "distance_from_criticality"]
    grammar = load_language(tmp_path / "g.pcfg", 20).grammar
    assert (row["out"], row["trees"], row["rules"]) == ("g.pcfg", 10, len(grammar.productions))
    assert row["symbols"] == len(grammar.nonterminals)
    assert 0 < row["distance_from_criticality"] <= 1
    assert math.isfinite(row["expected_length"])
    written = (tmp_path / "g.pcfg").read_bytes()
    assert cli.run(shlex.split(line)) == 0
    assert (tmp_path / "g.pcfg").read_bytes() == written
    assert {path.name for path in tmp_path.iterdir()} == {"bank.mrg", "g.pcfg"}
