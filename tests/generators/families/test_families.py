"""Families of languages: all of them exact; structure and floors of layered grammars, normal forms and chains."""

import itertools
import math

import nltk
import pytest
import torch
from support.exactness import EXACT, assert_conditionals, assert_log_prob, assert_loss_floor
from support.oracles import HmmOracle, PcfgOracle
from support.words import generator

from satlab.errors import InputError
from satlab.generators import load_language
from satlab.generators.families.draws import zipf_weights
from satlab.generators.families.target_floor import TOLERANCE
from satlab.generators.pcfg.rules import Nonterminal
from satlab.randomness import random_stream

LAYERED = {"family": "layered-pcfg", "layers": [2, 2, 2], "rules": [2, 2], "words": 3, "seed": 1}
CNF = {"family": "random-pcfg", "symbols": 3, "rules": 7, "words": 3, "max_length": 5, "seed": 1}
HIERARCHY = {"family": "random-hierarchy", "classes": 3, "features": 3, "synonyms": 2, "depth": 2, "seed": 1}
CFG3 = {"family": "cfg3", "levels": [1, 2, 2], "words": 3, "degrees": [2], "rule_lengths": [1, 2], "seed": 9}
CHAIN = {"family": "random-hmm", "states": 4, "blocks": 2, "words": 4, "length": 4, "seed": 1}

SMALL = {
    "layered": LAYERED,
    "layered-exits": LAYERED | {"exit_probability": [0.1, 0.3], "lengths": {2: 1.0, 4: 3}},
    "layered-zipf": LAYERED | {"zipf": 1.5, "words_per_symbol": 2},
    "layered-tempered": LAYERED | {"temperature": 0.4, "rule_concentration": 0.5},
    "cnf": CNF,
    "cnf-lengths": CNF | {"lengths": {1: 1, 3: 2.5, 5: 4}, "words_per_symbol": 2},
    "cnf-zipf": CNF | {"zipf": 0.7, "binary_mass": 0.7},
    "cnf-tempered": CNF | {"temperature": 2.5, "binary_mass": 0.9},
    "hierarchy": HIERARCHY,
    "hierarchy-zipf": HIERARCHY | {"zipf": 1.4, "zipf_levels": [1]},
    "hierarchy-triples": HIERARCHY | {"tuple_size": 3, "synonyms": 3, "features": 2, "classes": 2},
    "hierarchy-flat": HIERARCHY | {"depth": 1, "classes": 4},
    "cfg3": CFG3,
    "cfg3-lengths": CFG3 | {"max_length": 6, "lengths": {2: 1, 5: 2.5}},
    "uniform": {
        "family": "uniform-cfg",
        "rules": {"S": "A S | B | x", "A": "x B | y", "B": "y | A A"},
        "max_length": 4,
    },
    "hmm": CHAIN,
    "hmm-zipf": CHAIN | {"zipf": 1.0, "shared_words": True},
    "hmm-tempered": CHAIN | {"temperature": 0.3},
}
"""Languages whose strings can all be listed."""

MIDDLE = {
    "layered": LAYERED | {"layers": [3, 3, 3], "rules": [3, 3], "words": 12},
    "cnf": CNF | {"symbols": 6, "rules": 30, "words": 12, "lengths": {4: 1, 7: 1}, "max_length": 7},
    "hmm": CHAIN | {"words": 12, "length": 6},
}
"""Languages whose floor is measured."""


def rules_of(language):
    """{symbol: [(right-hand side as strings, p)]}, binary rules and words apart."""
    binary, lexical = {}, {}
    for rule in language.grammar.productions:
        kind = binary if isinstance(rule.rhs()[0], Nonterminal) else lexical
        kind.setdefault(str(rule.lhs()), []).append((tuple(map(str, rule.rhs())), rule.prob()))
    return binary, lexical


@pytest.fixture(scope="module", params=SMALL)
def pair(request):
    """(language, enumeration of all its strings)."""
    content = SMALL[request.param]
    language = load_language(content)
    if content["family"] == "random-hmm":
        oracle = HmmOracle(language.initial, language.blocks, language.emission, language.max_length)
        return language, oracle.enumeration()
    enumeration = PcfgOracle(language.to_nltk()).enumeration(language.max_length)
    return language, enumeration.with_lengths(content["lengths"]) if "lengths" in content else enumeration


def test_log_prob_is_that_of_all_strings(pair):
    language, enumeration = pair
    assert_log_prob(language, enumeration, sorted(enumeration.probabilities), whole=True)


def test_conditional_is_that_of_all_strings(pair):
    language, enumeration = pair
    assert_conditionals(language, enumeration, sorted(enumeration.probabilities)[::7][:25], 0.5)


def test_loss_floor_is_that_of_all_strings(pair):
    language, enumeration = pair
    assert_loss_floor(language, enumeration, 3000, 2, "one", 0.1)


def test_a_saved_language_comes_back_bit_for_bit(pair, tmp_path):
    language, _ = pair
    back = load_language(language.save(str(tmp_path / "language")))
    assert back.fingerprint() == language.fingerprint()
    assert torch.equal(back.length_log_prob, language.length_log_prob)
    assert torch.equal(back.emission, language.emission)


@pytest.mark.parametrize("name", MIDDLE)
def test_the_seed_decides(name):
    one, again, other = (load_language(MIDDLE[name] | {"seed": seed}).fingerprint() for seed in (3, 3, 4))
    assert one == again
    assert one != other


def test_the_demos_are_as_they_were_first_drawn():
    """Results that are kept beside the code were measured on these very languages."""
    grammar, chain = load_language("demo-pcfg"), load_language("demo-hmm")
    first = [0.3322973162019079, 0.28995692719785765, 0.5172924601106995, 1.028040374707214]
    assert grammar.emission.sum(0)[:4].tolist() == pytest.approx(first, rel=1e-12)
    assert chain.blocks[0, 0].tolist() == pytest.approx([0.19049674760093682, 0.8095032523990632], rel=1e-12)
    assert chain.emission[0, :2].tolist() == pytest.approx([0.09958798575952356, 0.6072786100069947], rel=1e-12)


# ---- structure


@pytest.mark.parametrize("exits", [None, [0.1, 0.2]])
def test_layers(exits):
    content = {
        "family": "layered-pcfg",
        "layers": [3, 5, 4, 6],
        "rules": [1, 4, 3],
        "words": 30,
        "words_per_symbol": 10,
    }
    language = load_language(content | {"exit_probability": exits})
    binary, lexical = rules_of(language)
    assert {p for (_, p) in binary.pop("S")} == {1 / 3}
    for depth, (size, rules) in enumerate([(3, 1), (5, 4), (4, 3)], start=1):
        below = {f"L{depth + 1}_{i + 1}" for i in range((5, 4, 6)[depth - 1])}
        layer = {symbol: sides for symbol, sides in binary.items() if symbol.startswith(f"L{depth}_")}
        assert len(layer) == size
        for symbol, sides in layer.items():
            assert len({right for right, _ in sides}) == len(sides) == rules
            leaves = math.fsum(p for _, p in lexical.get(symbol, []))
            assert (0.1 <= leaves <= 0.2 and len(lexical[symbol]) == 1) if exits and depth > 1 else leaves == 0
        assert {part for sides in layer.values() for right, _ in sides for part in right} == below
    assert sum(symbol.startswith("L4_") for symbol in lexical) == 6
    assert all(
        len({right for right, _ in sides}) == 10 for symbol, sides in lexical.items() if symbol.startswith("L4_")
    )
    lengths = language.length_log_prob.isfinite().nonzero()[:, 0].tolist()
    assert lengths == (list(range(2, 9)) if exits else [8])


@pytest.mark.parametrize(("symbols", "rules"), [(1, 1), (2, 1), (7, 3), (7, 200), (8, 4), (50, 1000)])
def test_chomsky_normal_form(symbols, rules):
    """As many different rules as asked for, shared masses, everything reached (or reading it back would fail)."""
    content = {"family": "random-pcfg", "symbols": symbols, "rules": rules, "words": 40, "words_per_symbol": 9}
    language = load_language(content | {"max_length": 6, "binary_mass": 0.35})
    binary, lexical = rules_of(language)
    assert language.rules.num_original == len(language.symbols) == len(lexical) == symbols
    assert sum(len({right for right, _ in sides}) for sides in binary.values()) == rules
    assert all(len(right) == 2 for sides in binary.values() for right, _ in sides)
    for symbol, sides in lexical.items():
        assert len({right for right, _ in sides}) == 9
        pairs = math.fsum(p for _, p in binary.get(symbol, []))
        assert pairs == pytest.approx(0.35 if symbol in binary else 0, abs=1e-12)
        assert pairs + math.fsum(p for _, p in sides) == pytest.approx(1, abs=1e-12)


def test_binary_mass_moves_the_lengths():
    """A larger mass of binary rules makes for longer sentences, on either side of one half."""
    means = []
    for mass in (0.1, 0.4, 0.6, 0.9):
        p = load_language(CNF | {"binary_mass": mass, "max_length": 12}).length_log_prob.exp()
        means.append(float(p @ torch.arange(13, dtype=torch.float64)))
    assert means == sorted(means)
    assert means[-1] > means[0] + 2


@pytest.mark.slow
def test_a_large_grammar_is_made_and_sampled_in_seconds():
    content = {"family": "random-pcfg", "symbols": 1000, "rules": 20_000, "words": 1000, "words_per_symbol": 50}
    language = load_language(content)
    assert (language.vocab_size, len(language.symbols), len(language.rules.binary)) == (1000, 1000, 20_000)
    assert bool(language.log_prob(language.sample(20, generator()).tokens).isfinite().all())


@pytest.mark.parametrize("name", ["layered", "cnf"])
def test_words_of_a_grammar_follow_zipfs_law(name):
    content = MIDDLE[name] | {"zipf": 1.3, "words_per_symbol": 5}
    binary, lexical = rules_of(load_language(content))
    law = zipf_weights(5, 1.3)
    for symbol, sides in lexical.items():
        row = torch.tensor([p for _, p in sides], dtype=torch.float64).sort(descending=True).values
        rest = 1 - math.fsum(p for _, p in binary.get(symbol, []))
        torch.testing.assert_close(row, rest * law, **EXACT)


@pytest.mark.parametrize("shared", [True, False])
def test_words_of_a_chain_follow_zipfs_law(shared):
    language = load_language(CHAIN | {"words": 12, "zipf": 0.8, "shared_words": shared})
    expected = torch.zeros(12, dtype=torch.float64)
    expected[: 12 if shared else 6] = zipf_weights(12 if shared else 6, 0.8)
    torch.testing.assert_close(language.emission.sort(1, descending=True).values, expected.expand(4, 12), **EXACT)
    assert torch.equal(language.emission[:2, 6:] > 0, torch.full((2, 6), shared))


# ---- floors


@pytest.mark.parametrize("name", MIDDLE)
def test_the_floor_rises_with_the_temperature(name):
    """At one seed, with the same random numbers for every temperature."""
    floors = [
        load_language(MIDDLE[name] | {"temperature": t}).loss_floor(800, random_stream(5, "floor")).value
        for t in (0.1, 0.25, 0.5, 1.0, 2.0, 8.0)
    ]
    assert floors == sorted(floors)
    assert floors[0] < 1.6 < floors[-1] <= math.log(12) + 1e-9


@pytest.mark.parametrize(("name", "target"), [*itertools.product(MIDDLE, [1.5, 1.7])])
def test_a_target_floor_is_reached(name, target):
    """Measured anew: within the search's tolerance and its own standard error."""
    language = load_language(MIDDLE[name] | {"target_floor": target, "temperature": 0.5})
    estimate = language.loss_floor(8000, random_stream(9, "evaluation"))
    assert abs(estimate.value - target) < TOLERANCE + 4 * math.hypot(estimate.stderr, 2 * estimate.stderr)


@pytest.mark.parametrize("target", [-1.0, 0.0, 2.4, 9.0])
def test_a_target_out_of_reach(target):
    """More than log 6, the block's share of the words, or nothing at all."""
    with pytest.raises(InputError, match=r"target_floor is .*, expected 0\.\d+ to 1\.7\d+ nats") as raised:
        load_language(MIDDLE["hmm"] | {"target_floor": target})
    assert "\n" not in str(raised.value)


# ---- what is refused


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (LAYERED | {"zipf": -1}, "zipf is -1.0"),
        (LAYERED | {"zipf": math.inf}, "zipf is inf"),
        (LAYERED | {"zipf": "steep"}, "key 'zipf' is 'steep', expected a number or null; correct it"),
        (LAYERED | {"zipf": float("nan")}, "key 'zipf' is nan, expected a finite number or null; correct it"),
        (LAYERED | {"zipf": float("inf")}, "zipf is inf, expected a finite exponent of at least 0"),
        (LAYERED | {"zipf": [1]}, r"key 'zipf' is \[1\], expected a number or null"),
        (LAYERED | {"temperature": 0}, "temperature is 0.0, expected a positive finite number"),
        (LAYERED | {"temperature": [1]}, r"key 'temperature' is \[1\]"),
        (LAYERED | {"target_floor": "low"}, "key 'target_floor' is 'low'"),
        (LAYERED | {"target_floor": math.inf}, "target_floor is inf, expected"),
        (LAYERED | {"lengths": {3: 1}}, "no sentence has 3 words"),
        (LAYERED | {"lengths": {"four": 1}}, "'four': 1, expected an integer length"),
        (LAYERED | {"lengths": [4]}, "key 'lengths' is"),
        (LAYERED | {"words": 10**12}, "2 x 1000000000000 probabilities"),
        (LAYERED | {"layers": [2, 10**9], "rules": [2]}, "2 layers of up to 1000000000 symbols"),
        (LAYERED | {"layers": [2] * 40, "rules": [2] * 39}, "40 layers of up to 2 symbols"),
        (LAYERED | {"exit_probability": [0.2]}, "exit_probability"),
        (LAYERED | {"rule_concentration": -2}, "concentration -2.0"),
        (LAYERED | {"zpif": 1}, "unknown key of family layered-pcfg 'zpif': did you mean 'zipf'"),
        (CNF | {"symbols": 0}, "0 symbols, 3 words: expected 1 to"),
        (CNF | {"symbols": 10**9}, "1000000000 symbols"),
        (CNF | {"symbols": 9, "rules": 3}, "rules is 3, expected 4 to 729"),
        (CNF | {"rules": 28}, "rules is 28, expected 1 to 27"),
        (CNF | {"rules": 0}, "rules is 0, expected 1 to 27"),
        (CNF | {"rules": 10**12, "symbols": 5000}, "rules is 1000000000000, expected 2500 to 1048576"),
        (CNF | {"words": 0}, "3 symbols, 0 words"),
        (CNF | {"words_per_symbol": 4}, "words_per_symbol is 4, expected 1 to 3"),
        (CNF | {"binary_mass": 0}, "binary_mass is 0.0, expected a probability between 0 and 1"),
        (CNF | {"binary_mass": 1}, "binary_mass is 1.0"),
        (CNF | {"max_length": 0}, "max_length is 0"),
        (CNF | {"max_length": 10**9}, "max_length is 1000000000, expected at most 4096"),
        (CNF | {"lengths": {6: 1}}, "no sentence has 6 words"),
        (CNF | {"seed": "one"}, "key 'seed' is 'one'"),
        (CHAIN | {"temperature": -0.1}, "temperature is -0.1"),
        (CHAIN | {"states": 10**5, "blocks": 1}, "100000 x 100000 probabilities"),
        (CHAIN | {"states": 10**6, "blocks": 10**6, "words": 10**6}, "1000000 x 1000000 probabilities"),
        (CHAIN | {"target_floor": 3}, "target_floor is 3, expected"),
    ],
)
def test_what_is_refused(content, match):
    with pytest.raises(InputError, match=match) as raised:
        load_language(content)
    assert "\n" not in str(raised.value)


def test_the_notation_of_nltk_reads_them_back():
    """What a random grammar writes is a grammar by nltk's own rules."""
    for content in (LAYERED | {"exit_probability": [0.1, 0.2]}, CNF):
        language = load_language(content)
        again = nltk.PCFG.fromstring(language.grammar.to_text())
        assert len(again.productions()) == len(language.grammar.productions)
