"""Frozen features, the linear probe over its repeats, and the majority class."""

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from support.labelled import FIRST_WORD, Labelled, OneHot
from support.networks import NETWORKS, demo_hmm, gap, grammar_language, padded_sentences, shaken

from satlab.errors import InputError
from satlab.generators import Sentences, load_language
from satlab.models import build_model
from satlab.probes import concatenated_features, features, linear_probe, majority_class

FEW = {"train_sentences": 300, "test_sentences": 200, "seeds": 3}


class Elsewhere(Labelled):
    """Ten words at random for a sentence, of which the first two are 7 or 8; what is drawn is kept."""

    own_inputs = True

    def __init__(self, classes, label):
        super().__init__(classes, label)
        self.drawn = []

    def inputs(self, language, num_sentences, generator):
        tokens = torch.randint(language.vocab_size, (num_sentences, 8), generator=generator)
        tokens[:, :2] = 7 + torch.randint(2, (num_sentences, 2), generator=generator)
        self.drawn.append(Sentences(tokens, torch.full((num_sentences,), 8)))
        return self.drawn[-1]


PARITY = Labelled(2, lambda s: (s.tokens[:, 0] + s.tokens[:, 3]) % 2)
ALWAYS_2 = Labelled(4, lambda s: torch.full_like(s.lengths, 2))


# ---- features


@pytest.mark.parametrize("name", NETWORKS)
def test_features_of_all_tokens_stand_side_by_side(name, monkeypatch):
    language = grammar_language()
    model, (tokens, lengths) = shaken(name, language), padded_sentences(language)
    model.train()
    found = concatenated_features(model, Sentences(tokens, lengths))
    assert found.shape == (len(tokens), tokens.shape[1] * model.feature_size)
    assert found.dtype == torch.float64
    assert not found.requires_grad
    for row, length in enumerate(lengths.tolist()):
        blocks = found[row].reshape(tokens.shape[1], model.feature_size)
        assert gap(blocks[:length], model.features(tokens[row : row + 1, :length])[0]) < 1e-12
        assert (blocks[length:] == 0).all()
    monkeypatch.setattr(features, "CHUNK", 5)
    assert gap(concatenated_features(model, Sentences(tokens, lengths)), found) < 1e-12


@pytest.mark.parametrize("padding", [7.0, float("nan"), float("inf")])
def test_features_are_zero_beyond_the_end_whatever_stands_there(padding):
    language = grammar_language()
    tokens, lengths = padded_sentences(language)
    found = concatenated_features(OneHot(language, padding), Sentences(tokens, lengths))
    assert torch.equal(found, concatenated_features(OneHot(language, 0.0), Sentences(tokens, lengths)))
    assert torch.isfinite(found).all()


def test_features_of_a_network_with_dropout_are_those_without():
    language = demo_hmm()
    sentences = language.sample(10, torch.Generator().manual_seed(0))
    model = shaken("bert-1x16", language, dropout=0.5)
    model.train()
    assert torch.equal(concatenated_features(model, sentences), concatenated_features(model, sentences))
    assert concatenated_features(model.float(), sentences).dtype == torch.float32


# ---- the probe


def test_all_models_are_probed_on_the_same_sentences(record):
    drawn = []
    for name in ("lookup", "bert-1x16", "lstm-1x16"):
        language = record(demo_hmm())
        linear_probe(build_model(name, language.language), language, FIRST_WORD, 40, 30, 2, seed=3)
        drawn.append(torch.cat([s.tokens for s in language.drawn]))
    language = record(demo_hmm())
    majority_class(language, FIRST_WORD, 40, 30, 2, seed=3)
    drawn.append(torch.cat([s.tokens for s in language.drawn]))
    assert all(torch.equal(drawn[0], other) for other in drawn[1:])
    assert drawn[0].shape == (2 * 70, 8)
    assert not torch.equal(drawn[0][:70], drawn[0][70:])


def test_the_probe_is_deterministic_and_has_a_seed():
    language = demo_hmm()
    model = shaken("bert-1x16", language, dtype=torch.float32)
    state = language.tasks["state-5"]
    one = linear_probe(model, language, state, **FEW)
    torch.manual_seed(4)
    assert linear_probe(model, language, state, **FEW) == one
    assert linear_probe(model, language, state, **FEW, seed=1) != one
    assert one.n == 3
    assert 0 < one.stderr < 0.1


@pytest.mark.parametrize("name", ["one-hot", "bert-1x16"])
def test_what_is_linear_in_the_features_is_read(name):
    language = demo_hmm()
    model = OneHot(language) if name == "one-hot" else shaken(name, language)
    accuracy = linear_probe(model, language, FIRST_WORD, 800, 300, 2)
    assert accuracy.value > 0.99
    assert accuracy.value > majority_class(language, FIRST_WORD, 800, 300, 2).value + 0.3


def test_what_is_not_linear_in_the_features_is_not_read():
    language = demo_hmm()
    accuracy = linear_probe(OneHot(language), language, PARITY, 2000, 2000, 2)
    assert accuracy.value < 0.9


def test_a_task_with_one_label_is_trivial():
    language = demo_hmm()
    assert linear_probe(OneHot(language), language, ALWAYS_2, **FEW).value == 1.0
    constant = majority_class(language, ALWAYS_2, **FEW)
    assert (constant.value, constant.stderr, constant.n) == (1.0, 0.0, 3)


def scipys_accuracy(x, labels, x_test, labels_test, classes, l2):
    """Test accuracy of the same regression, fitted by SciPy's default method with its own differences of numbers."""
    mean, scale = x.mean(0), x.std(0)
    x, x_test = ((a - mean) / np.where(scale > 1e-9, scale, np.inf) for a in (x, x_test))

    def value(flat):
        table = torch.from_numpy(flat).reshape(classes, -1).requires_grad_()
        log_p = (torch.from_numpy(x) @ table[:, :-1].T + table[:, -1]).log_softmax(1)
        loss = -log_p[torch.arange(len(x)), labels].mean() + 0.5 * l2 * table[:, :-1].square().sum()
        return loss.item(), torch.autograd.grad(loss, table)[0].numpy().flatten()

    start = np.zeros(classes * (x.shape[1] + 1))
    found = minimize(value, start, jac=True, method="BFGS", options={"gtol": 1e-7, "maxiter": 3000}).x
    table = found.reshape(classes, -1)
    return np.mean((x_test @ table[:, :-1].T + table[:, -1]).argmax(1) == labels_test.numpy())


def test_value_and_stderr_are_over_the_repeats(record):
    recorder = record(demo_hmm())
    state, model = recorder.tasks["state-3"], OneHot(recorder)
    found = linear_probe(model, recorder, state, 250, 150, 4, l2=1e-2)
    accuracies = []
    for sentences in recorder.drawn:
        x, labels = concatenated_features(model, sentences).numpy(), state.labels(sentences)
        accuracies.append(scipys_accuracy(x[:250], labels[:250], x[250:], labels[250:], 4, 1e-2))
    assert len(set(accuracies)) > 1
    assert found.value == pytest.approx(np.mean(accuracies), abs=1e-12)
    assert found.stderr == pytest.approx(np.std(accuracies, ddof=1) / 2, abs=1e-12)
    assert found.n == 4


def test_majority_is_the_training_sets_most_frequent_label(record):
    recorder = record(demo_hmm())
    found = majority_class(recorder, FIRST_WORD, 60, 500, 5)
    accuracies = []
    for sentences in recorder.drawn:
        first = sentences.tokens[:, 0].numpy()
        accuracies.append(np.mean(first[60:] == np.bincount(first[:60]).argmax()))
    assert len(recorder.drawn) == 5
    assert found.value == pytest.approx(np.mean(accuracies), abs=1e-12)
    assert found.stderr == pytest.approx(np.std(accuracies, ddof=1) / 5**0.5, abs=1e-12)


def test_a_task_with_inputs_of_its_own_is_probed_on_them_alone(record):
    """Both repeats of the majority class by counting, and the probe on the same draws; the language draws nothing."""
    recorder, task = record(demo_hmm()), Elsewhere(10, lambda s: s.tokens[:, 0])
    majority = majority_class(recorder, task, 300, 500, 2)
    shares = []
    for sentences in task.drawn:
        first = sentences.tokens[:, 0].numpy()
        shares.append(np.mean(first[300:] == np.bincount(first[:300]).argmax()))
    assert majority.value == pytest.approx(np.mean(shares), abs=1e-12)
    assert linear_probe(OneHot(recorder), recorder, task, 300, 500, 2).value > 0.99
    assert [len(sentences) for sentences in task.drawn] == [800] * 4
    assert all(torch.equal(task.drawn[i].tokens, task.drawn[i + 2].tokens) for i in range(2))
    assert not torch.equal(task.drawn[0].tokens, task.drawn[1].tokens)
    assert recorder.drawn == []


def test_mismatches_are_read_off_the_words_and_not_off_the_look_up_table():
    """The number of mismatches is a sum over words; the language's conditionals are not defined at most inputs."""
    language = load_language({"family": "brackets", "length": 6})
    task = language.tasks["mismatches"]
    assert linear_probe(OneHot(language), language, task, 2000, 1000, 2).value > 0.99
    with pytest.raises(InputError, match="impossible in this language") as error:
        linear_probe(build_model("lookup", language), language, task, 50, 50, 1)
    assert "\n" not in str(error.value)


def test_one_repeat_has_no_standard_error():
    language = demo_hmm()
    assert np.isnan(linear_probe(OneHot(language), language, FIRST_WORD, 50, 50, 1).stderr)


def test_the_truths_features_beat_the_majority_and_not_the_bayes_optimum():
    language = demo_hmm()
    state, lookup = language.tasks["state-4"], build_model("lookup", language)
    settings = {"train_sentences": 2500, "test_sentences": 2500, "seeds": 2}
    found, majority = linear_probe(lookup, language, state, **settings), majority_class(language, state, **settings)
    bayes = state.bayes_accuracy(5000, torch.Generator().manual_seed(0))
    noise = 4 * (0.25 / 5000) ** 0.5
    assert majority.value + 0.05 < found.value < bayes.value + noise


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"train_sentences": 0}, "train_sentences is 0, expected at least 1"),
        ({"test_sentences": -3}, "test_sentences is -3"),
        ({"seeds": 0}, "seeds is 0"),
        ({"l2": 0.0}, "l2 is 0.0, expected a positive number"),
        ({"l2": -1.0}, "l2 is -1.0"),
        ({"l2": float("nan")}, "l2 is nan"),
        ({"l2": float("inf")}, "l2 is inf"),
    ],
)
def test_a_number_that_cannot_be_is_refused(change, message):
    language = demo_hmm()
    with pytest.raises(InputError, match=message):
        linear_probe(OneHot(language), language, FIRST_WORD, **{**FEW, **change})
    if "l2" not in change:
        with pytest.raises(InputError, match=message):
            majority_class(language, FIRST_WORD, **{**FEW, **change})
