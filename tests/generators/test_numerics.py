"""Very long, very improbable, and very lopsided: exactness where plain float64 products would underflow."""

import math
from fractions import Fraction

import nltk
import numpy as np
import pytest
import torch
from support.oracles import PcfgOracle, dense, log_inside_cnf
from support.random_languages import all_pcfgs, random_hmm_arrays
from support.words import encode, generator

from satlab.errors import InputError
from satlab.generators import HMM, PCFG, random_hmm

TINY = """
S -> A S [0.000001] | S B [0.000002] | S S [0.000003] | 'a' [0.999994]
A -> 'a' [0.7] | 'b' [0.2999] | A A [0.0001]
B -> 'b' [0.00001] | 'c' [0.99999]
"""

RELATIVE = 1e-9


def _log_rules(text):
    grammar = nltk.PCFG.fromstring(text)
    return [(rule.lhs(), rule.rhs(), rule.prob()) for rule in grammar.productions()], grammar.start()


def _log_forward_backward(language, tokens):
    """log p(x) and p(x_t | the others) [T, V] in logs throughout."""
    with np.errstate(divide="ignore"):
        initial, transition, emission = (
            np.log(np.asarray(m)) for m in (language.initial, dense(language.transition), language.emission)
        )
    length = len(tokens)
    before, after = np.empty((length, len(initial))), np.zeros((length, len(initial)))
    before[0] = initial
    for t in range(1, length):
        score = before[t - 1] + emission[:, tokens[t - 1]]
        before[t] = np.logaddexp.reduce(score[:, None] + transition, axis=0)
    for t in range(length - 2, -1, -1):
        after[t] = np.logaddexp.reduce(transition + (emission[:, tokens[t + 1]] + after[t + 1])[None], axis=1)
    log_z = np.logaddexp.reduce(before[-1] + emission[:, tokens[-1]])
    joint = np.logaddexp.reduce((before + after)[:, :, None] + emission[None], axis=1)
    return log_z, np.exp(joint - np.logaddexp.reduce(joint, axis=1)[:, None])


@pytest.mark.parametrize("blocks", [1, 2])
def test_hmm_of_length_5000(blocks):
    language = random_hmm(4, 6, 5000, generator(1), blocks)
    tokens = language.sample(2, generator(2)).tokens
    log_prob, conditional = language.log_prob(tokens), language.conditional(tokens)
    torch.testing.assert_close(conditional.sum(-1), torch.ones(2, 5000, dtype=torch.float64), rtol=0, atol=1e-12)
    for row in range(2):
        log_z, expected = _log_forward_backward(language, tokens[row].numpy())
        assert log_z < -3000
        assert float(log_prob[row]) == pytest.approx(log_z, rel=RELATIVE)
        torch.testing.assert_close(conditional[row], torch.from_numpy(expected), rtol=RELATIVE, atol=1e-12)


def test_hmm_where_the_likely_state_turns_out_impossible():
    """The documented limit of one scale per step: a state e^920 times less likely than the best is refused."""
    rows = [[1 - 1e-10, 1e-10, 0], [1e-10, 0.5, 0.5 - 1e-10]]
    language = HMM([0.5, 0.5], [[1, 0], [0, 1]], rows, 41)
    tokens = torch.tensor([[0] * 40 + [2]])
    assert float(language.log_prob(tokens)) == -math.inf
    with pytest.raises(InputError, match="sentence 0 is impossible"):
        language.conditional(tokens)


@pytest.mark.parametrize("string", ["b" * 30 + "a" + "c" * 29, "ab" * 29 + "ac", "a" * 60])
def test_pcfg_of_60_words_with_tiny_probabilities(string):
    """Against an inside pass in logs. Spans that no symbol yields stand beside ones of probability 1e-300 and less."""
    language = PCFG.from_string(TINY, 60)
    rules, start = _log_rules(TINY)
    expected = log_inside_cnf(rules, start, string)
    log_prob = language.log_prob(*encode(language, [string])) + language.log_normaliser(len(string))
    assert expected < -300
    assert float(log_prob) == pytest.approx(expected, rel=RELATIVE)


def assert_conditionals(language, rules, start, string, positions):
    """p(x_t | the others) from the log inside scores of the sentence with each word in turn put at t."""
    conditional = language.conditional(*encode(language, [string]))[0]
    for t in positions:
        variants = [string[:t] + word + string[t + 1 :] for word in language.words]
        scores = torch.tensor([log_inside_cnf(rules, start, v) for v in variants], dtype=torch.float64)
        torch.testing.assert_close(conditional[t], scores.softmax(0), rtol=RELATIVE, atol=1e-12)


@pytest.mark.parametrize("string", ["bbabbacbc", "abacbcacbbac", "b" * 30 + "a" + "c" * 29, "ab" * 29 + "ac"])
def test_pcfg_conditionals_with_tiny_probabilities(string):
    positions = range(len(string)) if len(string) < 60 else (0, 1, 30, 58, 59)
    language = PCFG.from_string(TINY, max(12, len(string)))
    assert_conditionals(language, *_log_rules(TINY), string, positions)


def test_pcfg_spans_that_no_symbol_yields_beside_tiny_ones():
    """Runs of a are no S, yet part of one if a c stood among them; the sentence itself has probability e^-950."""
    text = "S -> A S [0.0000001] | S S [0.0000001] | 'c' [0.9999998]\nA -> 'a' [1.0]"
    language = PCFG.from_string(text, 60)
    rules, start = _log_rules(text)
    string = "a" * 59 + "c"
    tokens, _ = encode(language, [string])
    expected = log_inside_cnf(rules, start, string)
    assert expected < -900
    assert float(language.log_prob(tokens) + language.log_normaliser(60)) == pytest.approx(expected, rel=RELATIVE)
    assert_conditionals(language, rules, start, string, (0, 29, 58, 59))


def test_words_that_only_another_word_would_make_possible():
    """No symbol yields (b b), but A yields (a b): the first word, left out, decides whether that span has a tree."""
    language = PCFG.from_string("S -> A S [0.5] | 'a' [0.5]\nA -> 'b' [0.75] | S A [0.25]", 4)
    conditional = language.conditional(*encode(language, ["bba"]))[0, 0]
    # bba: (1/2 3/4)^2 1/2;  aba: 1/2 [S A -> a b: 1/4 1/2 3/4] 1/2.
    weights = torch.tensor([0.5 * 0.25 * 0.5 * 0.75 * 0.5, 0.375**2 * 0.5], dtype=torch.float64)
    expected = dict(zip("ab", (weights / weights.sum()).tolist(), strict=True))
    assert conditional.tolist() == pytest.approx([expected[word] for word in language.words], abs=1e-12)


def test_pcfg_where_the_likely_symbol_turns_out_impossible():
    """C explains 40 words e^800 times better than A, but only A can stand before the last: the documented limit."""
    text = """
    S -> A X [0.5] | C Y [0.5]
    A -> P A [0.0000000001] | 'a' [0.9999999999]
    C -> P C [0.9] | 'a' [0.1]
    P -> 'a' [1.0]
    X -> 'b' [1.0]
    Y -> 'c' [1.0]
    """
    language = PCFG.from_string(text, 41)
    tokens, lengths = encode(language, ["a" * 40 + "b"])
    assert float(language.log_prob(tokens, lengths)) == -math.inf
    with pytest.raises(InputError, match="sentence 0 is impossible"):
        language.conditional(tokens, lengths)


@pytest.mark.parametrize("rare", ["0.000000000001", "0.00000000000000000001"])
def test_an_unlikely_symbol_on_a_likely_unary_cycle(rare):
    """p(a) = 0.1 p / (1 - 0.9 - 0.9 p), in fractions, where p is the probability of the rule S -> A."""
    text = f"S -> S [0.9] | A [{rare}] | 'b' [{0.1 - float(rare):.20f}]\nA -> S [0.9] | 'a' [0.1]"
    language = PCFG.from_string(text, 1)
    p, loop, back, word = (Fraction(float(number)) for number in (rare, 0.9, 0.9, 0.1))
    exact = word * p / (1 - loop - back * p)
    log_prob = language.log_prob(*encode(language, ["a"])) + language.log_normaliser(1)
    assert float(log_prob) == pytest.approx(math.log(exact), abs=RELATIVE)


@pytest.mark.parametrize("seed", [1, 8, 14])
def test_hmm_gradients_at_hard_zeros(seed):
    """d log Z / d leaf scores is finite at every possible sentence, also for states that cannot be there."""
    initial, transition, emission, length = random_hmm_arrays(seed)
    _assert_gradients_finite(HMM(initial, transition, emission, length))


@pytest.mark.parametrize("name", list(all_pcfgs())[:20])
def test_pcfg_gradients_at_hard_zeros(name):
    _assert_gradients_finite(PCFG.from_string(*all_pcfgs()[name]))


def _assert_gradients_finite(language):
    sentences = language.sample(50, generator())
    for row in range(50):
        length = int(sentences.lengths[row])
        scores = language.emission.T[sentences.tokens[row : row + 1, :length]].clone().requires_grad_()
        log_z = language.log_partition(scores)
        assert math.isfinite(log_z.item())
        [gradient] = torch.autograd.grad(log_z.sum(), [scores])
        assert bool(torch.isfinite(gradient).all())
        # Each position holds one leaf: Euler's theorem for a function linear in each position's scores.
        total = (scores * gradient).sum(-1).detach()
        torch.testing.assert_close(total, torch.ones_like(total), rtol=0, atol=1e-10)


def test_conditionals_do_not_depend_on_the_batch(monkeypatch):
    """Cut into chunks of one sentence, everything stays as it was."""
    text, max_length = all_pcfgs()["beyond-criticality"]
    language = PCFG.from_string(text, max_length)
    sentences = language.sample(40, generator())
    whole = language.conditional(sentences.tokens, sentences.lengths), language.log_prob(sentences.tokens)
    monkeypatch.setattr("satlab.generators.language.MEMORY_BUDGET", 1)
    parts = language.conditional(sentences.tokens, sentences.lengths), language.log_prob(sentences.tokens)
    for one, other in zip(whole, parts, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


def test_oracle_in_logs_agrees_with_the_oracle_by_strings():
    """The two oracles used here and elsewhere, on a sentence short enough for both."""
    rules, start = _log_rules(TINY)
    inside = PcfgOracle(nltk.PCFG.fromstring(TINY)).inside(tuple("abac"))[start]
    assert log_inside_cnf(rules, start, "abac") == pytest.approx(math.log(inside), abs=1e-12)


def test_a_word_as_unlikely_as_float64_can_say():
    """The gradient of log Z overflows where a visible word has probability 1e-310; the conditionals do not."""
    language = HMM([1.0], [[1.0]], [[1 - 1e-310, 1e-310]], 3)
    tokens = torch.tensor([[0, 0, 0], [0, 1, 1]])
    expected = torch.tensor([1.0, 1e-310], dtype=torch.float64).expand(2, 3, 2)
    torch.testing.assert_close(language.conditional(tokens), expected, rtol=1e-9, atol=0)
    torch.testing.assert_close(language.posterior(tokens), torch.ones(2, 3, 1, dtype=torch.float64))


def _two_phases(first, second):
    """Two blocks over one vocabulary, and a text whose beginning favours one of them, and whose end the other."""
    emission = [[0.95, 0.03, 0.02], [0.05, 0.15, 0.8]]
    language = HMM([0.3, 0.7], np.ones((2, 1, 1)), emission, first + second + 1)
    return language, torch.tensor([[0] * first + [1] + [2] * second])


@pytest.mark.parametrize(("first", "second"), [(31, 25), (35, 28), (60, 50), (200, 160)])
def test_evidence_that_changes_sides(first, second):
    """What float32 cannot hold is computed in float64: neither a wrong number nor an error."""
    language, tokens = _two_phases(first, second)
    exact = _log_forward_backward(language, tokens[0].numpy())[1]
    everywhere = torch.ones_like(tokens, dtype=torch.bool)
    for dtype, tolerance in ((torch.float64, 1e-9), (torch.float32, 1e-5)):
        conditional = language.conditional(tokens, dtype=dtype)[0]
        torch.testing.assert_close(conditional.double(), torch.from_numpy(exact), rtol=tolerance, atol=1e-12)
        hidden = everywhere & (torch.arange(tokens.shape[1]) == first)
        at_one = language.conditional_at(tokens, None, hidden, dtype=dtype)[0]
        torch.testing.assert_close(at_one.double(), torch.from_numpy(exact)[first], rtol=tolerance, atol=1e-12)


@pytest.mark.parametrize(("first", "second"), [(253, 202), (400, 400)])
def test_evidence_beyond_float64_is_refused(first, second):
    language, tokens = _two_phases(first, second)
    hidden = torch.arange(tokens.shape[1])[None] == first
    for compute in (
        lambda: language.conditional(tokens),
        lambda: language.conditional_at(tokens, None, hidden),
        lambda: language.conditional(tokens, dtype=torch.float32),
    ):
        with pytest.raises(InputError, match="sentence 0 is beyond the range of float64"):
            compute()


def test_a_likely_part_that_is_zero_hides_no_unlikely_one():
    """The outside score of x comes from D Z, which is zero here at a high scale, and from T1 far below it."""
    tiny = f"{1e-200:.210f}"
    language = PCFG.from_string(f"""S -> X T1 [0.25] | D Z [0.5] | T2 K [0.25]
T1 -> 'q' 'q' [1.0]
D -> X Y [1.0]
X -> 'x' [1.0]
K -> 'k' [1.0]
Y -> 'y' [{tiny}] | 'u' [1.0]
Z -> 'z' [{tiny}] | 'v' [1.0]
T2 -> Y2 Z2 [1.0]
Y2 -> 'y' [1.0]
Z2 -> 'z' [1.0]""")
    tokens, _ = encode(language, [("x", "y", "z")])
    conditional = language.conditional(tokens)[0]
    assert float(conditional[0, language.words.index("x")]) == 1.0
