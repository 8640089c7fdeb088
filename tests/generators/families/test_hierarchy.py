"""The random hierarchy model, grammars without probabilities, and the family cfg3."""

import itertools
import math
from collections import Counter

import pytest
import torch
from support.exactness import EXACT
from support.oracles import PcfgOracle
from support.words import generator, word_tuples

from satlab.errors import InputError
from satlab.generators import load_language

RHM = {"family": "random-hierarchy", "classes": 3, "features": 3, "synonyms": 2, "tuple_size": 2, "depth": 2, "seed": 1}
CFG3 = {"family": "cfg3", "levels": [1, 2, 2], "words": 3, "degrees": [2], "rule_lengths": [1, 2], "seed": 9}

UNIFORM = {"family": "uniform-cfg", "rules": {"S": "A S | B | x", "A": "x B | y", "B": "y | A A"}, "max_length": 4}

PUBLISHED = {"cfg3b": {2}, "cfg3i": {2}, "cfg3h": {2, 3}, "cfg3g": {3}, "cfg3f": {3, 4}}
"""name -> rules a symbol (Allen-Zhu and Li 2023, A.1)."""


def right_sides(language):
    """{symbol: [(right-hand side as strings, p)]}"""
    rules = {}
    for rule in language.grammar.productions:
        rules.setdefault(str(rule.lhs()), []).append((tuple(map(str, rule.rhs())), rule.prob()))
    return rules


@pytest.mark.parametrize("content", [RHM, CFG3])
def test_the_seed_decides(content):
    one, again, other = (load_language(content | {"seed": seed}).fingerprint() for seed in (5, 5, 6))
    assert one == again
    assert one != other


# ---- the random hierarchy model


@pytest.mark.parametrize(
    ("classes", "features", "synonyms", "size", "depth"), [(5, 4, 3, 2, 3), (2, 6, 6, 3, 2), (9, 3, 1, 2, 1)]
)
def test_hierarchy_structure(classes, features, synonyms, size, depth):
    """m rules of s symbols for each symbol, no tuple twice at a level, every feature used, s^L words."""
    content = RHM | {"classes": classes, "features": features, "synonyms": synonyms, "tuple_size": size, "depth": depth}
    language = load_language(content)
    rules = right_sides(language)
    assert sorted(p for _, p in rules.pop("S")) == [1 / classes] * classes
    names = [[f"w{i}" for i in range(features)]]
    names += [[f"F{level}_{i + 1}" for i in range(features)] for level in range(1, depth)]
    names.append([f"C{i + 1}" for i in range(classes)])
    assert set(rules) == {name for level in names[1:] for name in level}
    for below, symbols in itertools.pairwise(names):
        sides = [right for symbol in symbols for right, _ in rules[symbol]]
        assert len(sides) == len(set(sides)) == len(symbols) * synonyms
        assert {len(right) for right in sides} == {size}
        assert {part for right in sides for part in right} == set(below)
        assert all(p == pytest.approx(1 / synonyms, rel=1e-14) for symbol in symbols for _, p in rules[symbol])
    assert language.length_log_prob.isfinite().nonzero()[:, 0].tolist() == [size**depth]
    assert language.vocab_size == features


def test_all_sentences_of_the_hierarchy_are_equally_likely():
    """p(x) = 1 / (n_c m^((s^L - 1) / (s - 1))), one choice of a synonym at each of the symbols."""
    language = load_language("cagnetta2024-rhm")
    log_prob = language.log_prob(language.sample(50, generator(2)).tokens)
    torch.testing.assert_close(log_prob, torch.full((50,), -math.log(8 * 2**7), dtype=torch.float64), **EXACT)


@pytest.mark.parametrize("levels", [None, [1], [2]])
def test_synonyms_follow_zipfs_law_where_asked(levels):
    language = load_language(RHM | {"synonyms": 3, "zipf": 1.5, "zipf_levels": levels})
    weights = [rank**-1.5 for rank in (1, 2, 3)]
    for symbol, sides in right_sides(language).items():
        level = {"C": 2, "F": 1}.get(symbol[0])
        skewed = level is not None and (levels is None or level in levels)
        expected = [w / math.fsum(weights) for w in weights] if skewed else [1 / 3] * 3
        assert [p for _, p in sides] == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    "change", [{}, {"zipf": 1.4}, {"tuple_size": 3, "synonyms": 3, "features": 2, "classes": 2}], ids=str
)
def test_the_words_determine_every_symbol(change):
    """One tree a string: labels are the symbols of the sampled tree, and Bayes accuracy is 1."""
    language = load_language(RHM | change)
    oracle = PcfgOracle(language.to_nltk())
    sentences = language.sample(200, generator(3))
    assert set(language.tasks) == {"class", "level-1", "tree-class", "tree-level-1"}
    for string in set(word_tuples(language, sentences)):
        assert len(oracle.trees(oracle.start, string)) == 1
    for task in ("class", "level-1"):
        labels = language.tasks[task].labels(sentences)
        assert torch.equal(labels, language.tasks[f"tree-{task}"].labels(sentences))
        assert len(labels.unique()) > 1
        assert language.tasks[f"tree-{task}"].bayes_accuracy(200, generator(4)).value == pytest.approx(1, abs=1e-12)


def test_as_many_synonyms_as_there_can_be_leave_nothing_to_learn():
    """m = v^(s-1): all strings occur, equally often, and a hidden word is uniform."""
    language = load_language(RHM | {"synonyms": 3})
    tokens = language.sample(20, generator(5)).tokens
    torch.testing.assert_close(
        language.conditional(tokens), torch.full((20, 4, 3), 1 / 3, dtype=torch.float64), **EXACT
    )


@pytest.mark.parametrize("depth", [4, 6])
def test_large_hierarchies(depth):
    language = load_language({"preset": "cagnetta-wyart2024-rhm", "depth": depth})
    sentences = language.sample(5, generator())
    assert language.max_length == 2**depth
    expected = -math.log(32) - (2**depth - 1) * math.log(8)
    assert language.log_prob(sentences.tokens).tolist() == pytest.approx([expected] * 5, rel=1e-12)


# ---- grammars without probabilities, and cfg3


def test_rules_of_a_symbol_are_equally_likely():
    rules = right_sides(load_language(UNIFORM))
    assert rules["S"] == [(("A", "S"), 1 / 3), (("B",), 1 / 3), (("x",), 1 / 3)]
    assert rules["B"] == [(("y",), 0.5), (("A", "A"), 0.5)]


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_members(name):
    """16 symbols at levels of 1, 3, 3, 3, 3 and 3, rules of 2 or 3 symbols, no right-hand side twice at a level."""
    language = load_language(name)
    rules = right_sides(language)
    assert str(language.grammar.start) == "22"
    assert sorted(rules, key=int) == [str(i) for i in range(7, 23)]
    assert {len(sides) for sides in rules.values()} == PUBLISHED[name]
    assert sorted(language.words) == ["1", "2", "3"]
    for first in (22, 19, 16, 13, 10, 7):
        level = [str(i) for i in range(first, min(first + 3, 23))]
        sides = [right for symbol in level for right, _ in rules[symbol]]
        below = {"1", "2", "3"} if first == 7 else {str(i) for i in range(first - 3, first)}
        assert len(set(sides)) == len(sides)
        assert {len(right) for right in sides} <= {2, 3}
        assert {part for right in sides for part in right} == below
    if name == "cfg3b":
        assert all(len(set(right)) == len(right) for sides in rules.values() for right, _ in sides)
    assert 64 <= int(language.length_log_prob.isfinite().nonzero()[0]) < language.max_length <= 729


def test_log_prob_of_a_published_member_below_its_third_level():
    """Symbol 16 of cfg3f as a language of its own: sentences of 16 to 81 words, against the oracle's inside score."""
    sides = {s: " | ".join(" ".join(r) for r, _ in right) for s, right in right_sides(load_language("cfg3f")).items()}
    rules = {symbol: sides[symbol] for symbol in map(str, (16, 15, 14, 13, 12, 11, 10, 9, 8, 7))}
    language = load_language({"family": "uniform-cfg", "rules": rules})
    sentences = language.sample(2, generator(6))
    oracle = PcfgOracle(language.to_nltk())
    for string, log_prob in zip(word_tuples(language, sentences), language.log_prob(sentences.tokens), strict=True):
        assert math.log(oracle.inside(string)[oracle.start]) == pytest.approx(float(log_prob), abs=1e-10)


def test_cfg3_is_of_the_published_size_unless_asked_otherwise():
    rules = right_sides(load_language({"family": "cfg3", "seed": 4}))
    assert Counter(symbol.split("_")[0] for symbol in rules) == {"S": 1} | {f"L{level}": 3 for level in range(2, 7)}
    assert {len(sides) for sides in rules.values()} == {3, 4}
    assert {len(right) for sides in rules.values() for right, _ in sides} == {2, 3}


def test_cfg3_structure():
    content = {"family": "cfg3", "levels": [1, 4, 5], "words": 7, "degrees": [2, 5], "rule_lengths": [1, 3]}
    rules = right_sides(load_language(content))
    levels = [
        ["S"],
        [f"L2_{i + 1}" for i in range(4)],
        [f"L3_{i + 1}" for i in range(5)],
        [str(i + 1) for i in range(7)],
    ]
    for symbols, below in itertools.pairwise(levels):
        sides = [right for symbol in symbols for right, _ in rules[symbol]]
        assert len(set(sides)) == len(sides)
        assert {part for right in sides for part in right} == set(below)
        assert {len(right) for right in sides} <= {1, 3}
        assert {len(rules[symbol]) for symbol in symbols} <= {2, 5}


def test_level_tasks_ask_for_the_likeliest_width():
    """The width of the first constituent of each level, counted in sampled trees."""
    language = load_language(CFG3 | {"levels": [1, 2, 2, 2], "rule_lengths": [2, 3]})
    sentences = language.sample(4000, generator(7))
    level = {symbol: int(symbol[1]) for symbol in language.symbols if symbol.startswith("L")}
    widths = {2: Counter(), 3: Counter(), 4: Counter()}
    for row in sentences.latents["nodes"].tolist():
        for start, width, symbol in row:
            if start == 0 and symbol >= 0 and language.symbols[symbol] in level:
                widths[level[language.symbols[symbol]]][width] += 1
    spans = {name: task.span for name, task in language.tasks.items() if not name.startswith("tree")}
    assert set(spans) == {f"level-{i}" for i, counts in widths.items() if max(counts.values()) > 0.1 * 4000}
    assert {"level-3", "level-4"} <= set(spans)
    for name, span in spans.items():
        counts = widths[int(name[-1])]
        assert counts[span.words] > max(counts.values()) - 150
        assert {int(symbol[1]) for symbol in span.symbols} == {int(name[-1])}


def test_without_levels_the_tasks_are_those_of_any_grammar():
    """S comes back in its own rule, so no symbol has a distance from the start."""
    assert set(load_language(UNIFORM).tasks) == {"A", "B", "C", "tree-A", "tree-B", "tree-C"}


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (RHM | {"synonyms": 4}, "3 symbols with 4 rules each: expected at most 9 in all"),
        (RHM | {"classes": 10**9}, "1000000000 symbols with 2 rules each: expected at most 9 in all"),
        (RHM | {"features": 10**9, "classes": 1}, "1000000000 symbols with 2 rules each: expected at most 262144"),
        (RHM | {"features": 2**40, "classes": 1, "depth": 1}, "from fewer than 2.62 tuples"),
        (RHM | {"features": 100, "classes": 1, "depth": 1}, "leave some of the 100 features unused"),
        (RHM | {"features": 60, "classes": 60, "synonyms": 1, "seed": 0}, "leave some of the 60 features unused"),
        (RHM | {"classes": 0}, "classes is 0, expected at least 1"),
        (RHM | {"depth": -1}, "depth is -1"),
        (RHM | {"tuple_size": 1}, "tuple_size is 1, expected at least 2"),
        (RHM | {"depth": 13}, r"sentences of 2\^13 words: expected at most 4096"),
        (RHM | {"depth": 10**9}, r"sentences of 2\^1000000000 words"),
        (RHM | {"tuple_size": 10**6}, r"sentences of 1000000\^2 words"),
        (RHM | {"zipf": -1}, "zipf is -1.0"),
        (RHM | {"zipf_levels": [3]}, "zipf_levels has 3, expected levels from 1 to 2"),
        (RHM | {"zipf_levels": ["top"]}, "zipf_levels has 'top'"),
        (RHM | {"levels": 2}, "unknown key of family random-hierarchy 'levels'"),
        (CFG3 | {"levels": []}, r"levels is \[\], expected integers"),
        (CFG3 | {"levels": [2, 3]}, "expected 1 for the start"),
        (CFG3 | {"levels": [1, "a"]}, r"levels is \[1, 'a'\]"),
        (CFG3 | {"levels": [1, 10**9]}, "at most 10000 words and 10000 rules per level"),
        (CFG3 | {"words": 10**9}, "1000000000 words: expected at least 1 word"),
        (
            CFG3 | {"levels": [1, 3000], "words": 500},
            "1 symbols with .2. rules of .1, 2. leave some of the 3000 symbols below unused",
        ),
        (CFG3 | {"levels": [1] * 40}, "sentences of at most 2048 words"),
        (CFG3 | {"degrees": [0]}, r"degrees is \[0\]"),
        (CFG3 | {"degrees": [9], "rule_lengths": [1]}, "expected at most 2 different rules"),
        (CFG3 | {"rule_lengths": [2.5]}, r"rule_lengths is \[2.5\]"),
        (CFG3 | {"words": 0}, "0 words"),
        (CFG3 | {"max_length": 1, "rule_lengths": [2]}, "max_length = 1"),
        (CFG3 | {"lengths": {1: 1}, "rule_lengths": [2]}, "no sentence has 1 words"),
        ({"family": "uniform-cfg", "rules": {}}, "the grammar has no rules"),
        (
            {"family": "uniform-cfg", "rules": {"S": "a | a"}},
            r"the rules of S are \['a', 'a'\], expected distinct right-hand sides",
        ),
        ({"family": "uniform-cfg", "rules": {"S": "a | "}}, r"the rules of S are \['a', ''\]"),
        ({"family": "uniform-cfg", "rules": {"S": ["a"]}}, r"rules: S has \['a'\], expected right-hand sides"),
        ({"family": "uniform-cfg", "rules": {"S": True}}, "rules: S has True"),
        ({"family": "uniform-cfg", "rules": "S: a"}, "key 'rules' is 'S: a', expected a mapping of keys to values"),
        ({"family": "uniform-cfg", "rules": {"S": "S a"}}, "the nonterminal S never ends"),
        (
            {"family": "uniform-cfg", "rules": {str(i): f"{i + 1} {i + 1}" for i in range(40)}},
            "up to 1.09951e.12 words",
        ),
        ({"preset": "cfg3b", "max_length": 10**9}, r"sentences of up to 1e\+09 words: expected at most 4096"),
        ({"preset": "cfg3b", "max_length": 100}, "needs 138 words"),
    ],
)
def test_what_is_refused(content, match):
    with pytest.raises(InputError, match=match) as raised:
        load_language(content)
    assert "\n" not in str(raised.value)
