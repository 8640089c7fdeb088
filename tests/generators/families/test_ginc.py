"""GINC, a mixture of HMMs (Xie et al. 2021): its recipe, and its probabilities as a mixture over concepts."""

import itertools
import math

import numpy as np
import pytest
import torch
from support.exactness import EXACT, assert_chain_rule, assert_conditionals, assert_log_prob, some_of
from support.oracles import Enumeration, HmmOracle
from support.words import assert_frequencies, generator

from satlab.errors import InputError
from satlab.generators import load_language

SMALL = {"family": "ginc", "concepts": 3, "entities": 2, "properties": 2, "words": 4, "length": 4, "seed": 1}


def concept_oracles(language):
    """One small chain a concept, each on its own; a concept's start is renormalised."""
    size = language.blocks.shape[1]
    starts = language.initial.reshape(-1, size)
    emission = language.emission[:size]
    return [
        HmmOracle(start / start.sum(), block, emission, language.max_length)
        for start, block in zip(starts, language.blocks, strict=True)
    ]


@pytest.fixture(scope="module")
def mixture():
    """(language, {string: [p(string | concept) for each]}, the mixture with equal weights)."""
    language = load_language(SMALL)
    oracles = concept_oracles(language)
    strings = itertools.product(range(4), repeat=4)
    given = {string: np.array([oracle.joint(string).sum() for oracle in oracles]) for string in strings}
    return language, given, Enumeration({string: float(p.mean()) for string, p in given.items()}, 4)


def test_the_recipe():
    language = load_language("ginc")
    assert (language.num_states, language.vocab_size, len(language.blocks)) == (500, 50, 5)
    assert language.words[:2] == ("/", "1")
    assert list(language.tasks) == ["concept"]
    assert language.tasks["concept"].classes == ("1", "2", "3", "4", "5")
    one_hot = language.emission.reshape(5, 10, 10, 50)
    assert bool((one_hot.sum(-1) == 1).all())
    assert bool(((one_hot == 0) | (one_hot == 1)).all())
    assert bool((one_hot == one_hot[0]).all())
    memory = one_hot[0].argmax(-1)
    assert bool((memory[:, 0] == 0).all())
    assert bool((memory[:, 1:] > 0).all())
    start = language.initial.reshape(5, 100)
    torch.testing.assert_close(start.sum(1), torch.full((5,), 0.2, dtype=torch.float64), **EXACT)
    assert float(start.log().amax() - start.log().amin()) < 0.11


def test_entities_and_properties_move_independently():
    """Block (v s, v' s') = E[v, v'] S[s, s']: the chain of entities is shared and sticky, that of properties is not."""
    language = load_language({"preset": "ginc", "length": 4})
    tables = language.blocks.reshape(5, 10, 10, 10, 10)
    entity, of_property = tables.sum(4).mean(2), tables.sum(3).mean(1)
    torch.testing.assert_close(torch.einsum("cvw,cst->cvswt", entity, of_property), tables, **EXACT)
    torch.testing.assert_close(entity, entity[:1].expand_as(entity), **EXACT)
    assert bool((entity[0].diagonal() >= 0.9).all())
    for concept in range(1, 5):
        assert not torch.allclose(of_property[0], of_property[concept])
    ones = torch.ones(5, 10, dtype=torch.float64)
    torch.testing.assert_close(entity.sum(1), ones, **EXACT)
    torch.testing.assert_close(of_property.sum(1), ones, **EXACT)


def test_stickiness_mixes_with_the_identity():
    loose, tight, fixed = (load_language(SMALL | {"stickiness": s}) for s in (0.0, 0.75, 1.0))
    shares = [language.blocks.reshape(3, 2, 2, 2, 2).sum(4).mean(2)[0] for language in (loose, tight, fixed)]
    eye = torch.eye(2, dtype=torch.float64)
    torch.testing.assert_close(shares[1], 0.75 * eye + 0.25 * shares[0], **EXACT)
    torch.testing.assert_close(shares[2], eye, **EXACT)


def test_probabilities_are_those_of_the_mixture(mixture):
    language, _, enumeration = mixture
    # The oracle's words are numbers, the language's are / 1 2 3.
    names = language.words
    spelt = Enumeration({tuple(names[w] for w in string): p for string, p in enumeration.probabilities.items()}, 4)
    assert_log_prob(language, spelt, list(itertools.product(names, repeat=4)), whole=True)
    strings = some_of(spelt.probabilities, 30, np.random.default_rng(0))
    for rate in (0.0, 0.5, 1.0):
        assert_conditionals(language, spelt, strings, rate)


def test_the_chain_rule(mixture):
    language, _, enumeration = mixture
    assert_chain_rule(language, torch.tensor(sorted(enumeration.probabilities)))


def test_the_concept_task(mixture):
    """Posterior of the concept by Bayes' rule over the concepts' own probabilities; labels as sampled."""
    language, given, enumeration = mixture
    task = language.tasks["concept"]
    strings = sorted(enumeration.probabilities)
    expected = np.stack([given[string] / given[string].sum() for string in strings])
    sentences = language.sample(200, generator())
    tokens, lengths = torch.tensor(strings), torch.full((len(strings),), 4)
    torch.testing.assert_close(task.posterior(type(sentences)(tokens, lengths)), torch.from_numpy(expected), **EXACT)
    assert torch.equal(task.labels(sentences), sentences.latents["states"][:, 2] // 4)
    exact = math.fsum(float(p.max()) / 3 for p in given.values())
    estimate = task.bayes_accuracy(20_000, generator(1))
    assert 0.4 < exact < 0.99
    assert abs(estimate.value - exact) < 4 * estimate.stderr


def test_sampled_frequencies(mixture):
    language, given, enumeration = mixture
    sentences = language.sample(40_000, generator(2))
    rows = [tuple(row) for row in sentences.tokens.tolist()]
    assert_frequencies(rows, enumeration.probabilities)
    concepts = language.tasks["concept"].labels(sentences).tolist()
    joint = {(string, c): float(p[c]) / 3 for string, p in given.items() for c in range(3)}
    assert_frequencies(list(zip(rows, concepts, strict=True)), joint)


def test_documents_keep_their_entity():
    """With stickiness 1 the entity never changes; every document is possible, and its states say its words."""
    language = load_language({"preset": "ginc", "length": 30, "stickiness": 1.0})
    sentences = language.sample(100, generator())
    states = sentences.latents["states"]
    entity = states // 10 % 10
    assert bool((entity == entity[:, :1]).all())
    assert torch.equal(language.emission[states].argmax(-1), sentences.tokens)
    assert bool((language.log_prob(sentences.tokens) > -math.inf).all())
    assert bool((sentences.tokens == 0).any())


@pytest.mark.parametrize("spec", [SMALL, SMALL | {"concepts": 1}, SMALL | {"task_positions": [1]}])
def test_save_and_load(tmp_path, spec):
    language = load_language(spec)
    back = load_language(language.save(str(tmp_path / "mixture")))
    for name in ("initial", "blocks", "emission"):
        assert torch.equal(getattr(back, name), getattr(language, name))
    assert (back.words, back.block_task, back.task_positions) == (
        language.words,
        language.block_task,
        language.task_positions,
    )
    assert list(back.tasks) == list(language.tasks)
    assert ("concept" in back.tasks) == (spec["concepts"] > 1)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"concepts": 0}, "0 concepts"),
        ({"entities": -1}, "-1 entities"),
        ({"properties": 0}, "0 properties"),
        ({"words": 1}, "1 words"),
        ({"stickiness": 1.5}, "stickiness 1.5.*a probability"),
        ({"stickiness": "high"}, "key 'stickiness' is 'high', expected a number; correct"),
        ({"entities": 10**5}, "expected at most"),
        ({"properties": 10**5}, "expected at most"),
        ({"concepts": 10**6, "entities": 100, "properties": 100}, "expected at most"),
        ({"delimiter": "/"}, "unknown key of family ginc 'delimiter'"),
    ],
)
def test_what_cannot_be_made(change, match):
    with pytest.raises(InputError, match=match) as error:
        load_language(SMALL | change)
    assert "\n" not in str(error.value)
