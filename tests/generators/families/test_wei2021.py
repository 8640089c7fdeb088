"""The HMMs of Wei, Xie and Ma 2021: their recipe, and their tasks against sums over all state paths."""

import itertools
import math

import numpy as np
import pytest
import torch
from support.exactness import EXACT, assert_chain_rule, assert_conditionals, assert_log_prob, some_of
from support.oracles import HmmOracle
from support.words import assert_frequencies, encode, generator

from satlab.errors import InputError
from satlab.generators import HMM, load_language
from satlab.generators.families.draws import permutation_mixture, softmax_rows
from satlab.generators.hmm.tasks import state_before

SMALL = [
    {"family": "wei2021-hmm", "states": 4, "words": 3, "length": 4},
    {"family": "wei2021-hmm", "states": 2, "words": 4, "length": 3, "seed": 1},
    {"family": "wei2021-memory-hmm", "slots": 2, "states": 2, "words": 3, "length": 4},
    {"family": "wei2021-memory-hmm", "slots": 3, "states": 1, "words": 3, "length": 3, "seed": 1},
]


def oracle_of(language):
    return HmmOracle(language.initial, language.transition, language.emission, language.max_length)


@pytest.fixture(scope="module", params=range(len(SMALL)))
def pair(request):
    language = load_language(SMALL[request.param])
    return language, oracle_of(language)


def test_a_permutation_mixture_is_a_mixture_of_permutations():
    """Rows and columns sum to one; a single permutation has only zeros and a one; cold mixtures come near it."""
    for permutations, temperature in ((1, 1.0), (3, 0.5), (7, 0.01)):
        mixture = permutation_mixture(6, permutations, temperature, generator(permutations))
        ones = torch.ones(6, dtype=torch.float64)
        torch.testing.assert_close(mixture.sum(0), ones, **EXACT)
        torch.testing.assert_close(mixture.sum(1), ones, **EXACT)
        assert bool(((mixture > 0).sum(1) <= permutations).all())
    alone = permutation_mixture(6, 1, 1.0, generator())
    assert sorted(alone.flatten().tolist()) == [0.0] * 30 + [1.0] * 6


def test_softmax_rows_are_tempered_uniform_numbers():
    """T (log p_a - log p_b) = u_a - u_b: within (-1, 1), with the variance 1/6 of a difference of two uniforms."""
    for temperature in (10.0, 0.5, 0.01):
        rows = softmax_rows(4000, 2, temperature, generator())
        torch.testing.assert_close(rows.sum(1), torch.ones(4000, dtype=torch.float64), **EXACT)
        difference = temperature * (rows[:, 0].log() - rows[:, 1].log())
        assert float(difference.abs().max()) < 1 + 1e-9
        assert abs(float(difference.var()) - 1 / 6) < 0.02


def test_the_recipe():
    """Start within the range of temperature 10, transition doubly stochastic, emission rows of temperature 0.01."""
    language = load_language({"preset": "wei2021-hmm", "length": 20})
    assert (language.num_states, language.vocab_size, language.max_length) == (8, 10, 20)
    logits = language.initial.log()
    assert 0 < float(logits.max() - logits.min()) < 0.1
    torch.testing.assert_close(language.transition.sum(0), torch.ones(8, dtype=torch.float64), **EXACT)
    assert int((language.transition > 0).sum(1).max()) <= 8
    spread = language.emission.log().amax(1) - language.emission.log().amin(1)
    assert bool(((spread > 10) & (spread < 100)).all())
    paper = load_language("wei2021-hmm")
    assert paper.max_length == 512
    assert list(paper.tasks) == ["state-1", "state-256", "state-512", "posterior"]
    assert torch.equal(paper.emission, language.emission)
    assert load_language({"preset": "wei2021-hmm", "states": 25, "length": 16}).num_states == 25


def test_the_memory_recipe():
    """One block for all slots, an emission row for each (slot, hidden state), a slot that never changes."""
    language = load_language({"preset": "wei2021-memory-hmm", "slots": 5, "length": 20})
    assert language.blocks.shape == (5, 4, 4)
    assert bool((language.blocks == language.blocks[0]).all())
    torch.testing.assert_close(language.blocks[0].sum(0), torch.ones(4, dtype=torch.float64), **EXACT)
    assert len(language.emission.unique(dim=0)) == 20
    slot = language.sample(200, generator()).latents["states"] // 4
    assert bool((slot == slot[:, :1]).all())
    weights = language.readout.weights.reshape(2, 5, 4)
    assert bool((weights == weights[:, :, :1]).all())
    assert {"slot", "posterior"} < set(language.tasks)


@pytest.mark.parametrize("seed", range(6))
def test_the_weights_of_the_task(seed):
    """Two rows, at most six entries that are not zero, and both labels occur."""
    language = load_language({"family": "wei2021-hmm", "states": 10, "length": 30, "seed": seed})
    assert language.readout.weights.shape == (2, 10)
    assert 2 <= int((language.readout.weights != 0).sum()) <= 6
    labels = language.tasks["posterior"].labels(language.sample(1000, generator(seed)))
    assert labels.unique().tolist() == [0, 1]


def test_probabilities_are_sums_over_all_paths(pair):
    language, oracle = pair
    enumeration = oracle.enumeration()
    strings = list(itertools.product(range(language.vocab_size), repeat=language.max_length))
    assert_log_prob(language, enumeration, strings, whole=True)
    assert_conditionals(language, enumeration, some_of(strings, 20, np.random.default_rng(0)), 0.4)


def test_the_chain_rule(pair):
    language, _ = pair
    assert_chain_rule(language, language.sample(50, generator()).tokens)


def state_before_by_paths(oracle, string, words):
    """p(z_0 | x_1 .. x_words), z_0 the state before the first: drawn backwards from z_1, by the columns of A.

    joint(z_0, z_1, ..) = A[z_0, z_1] p(z_1, .. | the visible words): the way into z_1 is chosen backwards.
    """
    hidden = [t >= words for t in range(oracle.length)]
    joint = oracle.joint(string, hidden)
    before = np.array([(oracle.transition[i, oracle.paths[:, 0]] * joint).sum() for i in range(oracle.states)])
    return before / joint.sum()


@pytest.mark.parametrize("words", [1, 2, 9])
def test_the_state_before_the_sentence(pair, words):
    language, oracle = pair
    sentences = language.sample(20, generator(1))
    expected = np.stack([state_before_by_paths(oracle, string, words) for string in sentences.tokens.tolist()])
    before = state_before(language, sentences.tokens, words)
    torch.testing.assert_close(before, torch.from_numpy(expected), **EXACT)
    torch.testing.assert_close(before.sum(1), torch.ones(20, dtype=torch.float64), **EXACT)


def test_the_state_before_is_that_of_a_longer_chain():
    """With the uniform, stationary start it is p(z_1 | x_2 ..) of the chain that hides its first word."""
    wei = load_language(SMALL[0])
    uniform = torch.full((4,), 0.25, dtype=torch.float64)
    short, long = (HMM(uniform, wei.transition, wei.emission, length) for length in (3, 4))
    tokens = short.sample(30, generator()).tokens
    shifted = torch.nn.functional.pad(tokens, (1, 0))
    hidden = torch.zeros_like(shifted, dtype=torch.bool)
    hidden[:, 0] = True
    expected = long.posterior(shifted, None, hidden)[:, 0]
    torch.testing.assert_close(state_before(short, tokens, 3), expected, **EXACT)


def test_posterior_labels_by_brute_force(pair):
    language, oracle = pair
    task, readout = language.tasks["posterior"], language.readout
    sentences = language.sample(40, generator(2))
    scores = [readout.weights.numpy() @ state_before_by_paths(oracle, s, 128) for s in sentences.tokens.tolist()]
    assert task.classes == ("1", "2")
    assert task.labels(sentences).tolist() == [int(score.argmax()) for score in scores]
    assert (task.bayes_accuracy(7, generator()).value, task.bayes_accuracy(7, generator()).stderr) == (1.0, 0.0)


def test_the_memory_task_reads_the_slot_posterior_alone():
    """W p(slot | words), with the slot's posterior summed over all paths in it."""
    language = load_language(SMALL[2])
    oracle = oracle_of(language)
    sentences = language.sample(40, generator(3))
    weights = language.readout.weights[:, ::2].numpy()
    for string, label in zip(sentences.tokens.tolist(), language.tasks["posterior"].labels(sentences), strict=True):
        first = oracle.posterior(string)[0]
        assert int((weights @ [first[:2].sum(), first[2:].sum()]).argmax()) == int(label)


def test_the_slot_task():
    language = load_language(SMALL[2])
    oracle, task = oracle_of(language), language.tasks["slot"]
    sentences = language.sample(100, generator())
    assert task.classes == ("1", "2")
    assert torch.equal(task.labels(sentences), sentences.latents["states"][:, 0] // 2)
    strings = oracle.enumeration().probabilities
    slots = {string: oracle.posterior(string)[0].reshape(2, 2).sum(1) for string in strings}
    tokens, lengths = encode(language, list(strings))
    posterior = task.posterior(type(sentences)(tokens, lengths))
    torch.testing.assert_close(posterior, torch.from_numpy(np.stack(list(slots.values()))), **EXACT)
    exact = math.fsum(p * slots[string].max() for string, p in strings.items())
    estimate = task.bayes_accuracy(20_000, generator(1))
    assert abs(estimate.value - exact) < 4 * estimate.stderr


@pytest.mark.parametrize("spec", SMALL[::2])
def test_sampled_frequencies(spec):
    language = load_language(spec)
    sentences = language.sample(30_000, generator(4))
    probabilities = oracle_of(language).enumeration().probabilities
    assert_frequencies([tuple(row) for row in sentences.tokens.tolist()], probabilities)


@pytest.mark.parametrize("spec", [*SMALL, SMALL[0] | {"task_positions": [4, 2]}, SMALL[2] | {"task_positions": []}])
def test_save_and_load(tmp_path, spec):
    language = load_language(spec)
    path = language.save(str(tmp_path / "chain"))
    back = load_language(path)
    for name in ("initial", "blocks", "emission"):
        assert torch.equal(getattr(back, name), getattr(language, name))
    assert torch.equal(back.readout.weights, language.readout.weights)
    assert (back.readout.words, back.block_task) == (language.readout.words, language.block_task)
    assert back.task_positions == language.task_positions
    assert list(back.tasks) == list(language.tasks)
    assert back.fingerprint() == language.fingerprint()
    sentences = language.sample(50, generator())
    for name in language.tasks:
        assert torch.equal(back.tasks[name].labels(sentences), language.tasks[name].labels(sentences))


@pytest.mark.parametrize(
    ("change", "positions"),
    [
        ({"length": 32}, range(1, 33)),
        ({"length": 33}, (1, 16, 33)),
        ({"length": 40, "task_positions": [6, 10]}, (6, 10)),
    ],
)
def test_task_positions(change, positions):
    """Every position of a short sentence, three of a long one, or those that are wanted."""
    for base in ({"family": "random-hmm", "states": 2, "words": 2}, SMALL[0]):
        names = [name for name in load_language(base | change).tasks if name.startswith("state")]
        assert names == [f"state-{k}" for k in positions]
    tables = {"initial": [1.0], "transition": [[1.0]], "emission": [[0.5, 0.5]]}
    assert list(load_language({"family": "hmm"} | tables | change).tasks) == [f"state-{k}" for k in positions]


@pytest.mark.parametrize(
    ("spec", "match"),
    [
        ({"family": "wei2021-hmm"}, "lacks the key 'states'"),
        ({"family": "wei2021-hmm", "states": 1}, "1 states.*at least 2 states"),
        ({"family": "wei2021-hmm", "states": 4, "words": 0}, "0 words"),
        ({"family": "wei2021-hmm", "states": 4, "length": 0}, "length 0"),
        ({"family": "wei2021-hmm", "states": 4, "words": 1, "length": 3}, "same label for all sentences"),
        ({"family": "wei2021-hmm", "states": 10**6}, "expected at most"),
        ({"family": "wei2021-hmm", "states": "many"}, "key 'states' is 'many', expected an integer"),
        (
            {"family": "wei2021-hmm", "states": 4, "length": 4, "task_positions": [5]},
            "task_positions has 5.*from 1 to 4",
        ),
        ({"family": "wei2021-hmm", "states": 4, "length": 4, "task_positions": [True]}, "task_positions has True"),
        ({"family": "wei2021-hmm", "states": 4, "length": 4, "task_positions": [2, 2]}, "distinct numbers"),
        ({"family": "wei2021-hmm", "states": 4, "length": 4, "task_positions": 2}, "expected a list or null"),
        ({"family": "wei2021-memory-hmm", "slots": 1}, "1 slots.*at least 2 slots"),
        ({"family": "wei2021-memory-hmm", "slots": 2, "states": 0}, "0 states"),
        ({"family": "wei2021-memory-hmm", "slots": 10**6}, "expected at most"),
        ({"family": "wei2021-memory-hmm", "slot": 2}, "unknown key.*'slot': did you mean 'slots'"),
    ],
)
def test_what_cannot_be_made(spec, match):
    with pytest.raises(InputError, match=match) as error:
        load_language(spec)
    assert "\n" not in str(error.value)


CHAIN = {"initial": np.full(2, 0.5), "transition": np.full((2, 2), 0.5), "emission": np.full((2, 4), 0.25)}


@pytest.mark.parametrize(
    ("arrays", "match"),
    [
        ({"task_positions": np.array([17])}, "task_positions has 17"),
        ({"task_positions": np.array([1.5])}, "'task_positions' is .* integers"),
        ({"task_positions": np.array(1)}, "'task_positions' is 1"),
        ({"block_task": np.array("slot")}, "asks for the block, but the chain has only one"),
        ({"block_task": np.array("")}, "block_task is ''"),
        ({"block_task": np.array(["a", "b"])}, "'block_task' is .* one name"),
        ({"posterior_weights": np.ones((2, 2))}, "expected both or neither"),
        ({"posterior_words": np.array(3)}, "expected both or neither"),
        ({"posterior_weights": np.ones((2, 3)), "posterior_words": np.array(3)}, r"\[2, 3\].* 2\]"),
        ({"posterior_weights": np.ones((1, 2)), "posterior_words": np.array(3)}, r"\[1, 2\]"),
        ({"posterior_weights": np.full((2, 2), np.nan), "posterior_words": np.array(3)}, "finite"),
        ({"posterior_weights": np.ones((2, 2)), "posterior_words": np.array(0)}, "reads 0 words"),
        ({"posterior_weights": np.ones((2, 2)), "posterior_words": np.array([1, 2])}, "one integer"),
        ({"posterior_weights": np.array([["a", "b"]]), "posterior_words": np.array(1)}, "expected numbers"),
        ({"posterior_word": np.array(1)}, "did you mean 'posterior_words'"),
    ],
)
def test_files_with_wrong_tasks(tmp_path, arrays, match):
    np.savez(tmp_path / "chain.npz", **(CHAIN | arrays))
    with pytest.raises(InputError, match=rf"chain\.npz: .*{match}") as error:
        load_language(tmp_path / "chain.npz")
    assert "\n" not in str(error.value)


def test_the_weights_move_with_the_language():
    moved = load_language(SMALL[1]).to("meta")
    assert moved.readout.weights.device.type == "meta"
    assert "tasks" not in vars(moved)
