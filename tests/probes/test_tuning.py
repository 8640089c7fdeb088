"""Head and prompt tuning: what is read against plain forward passes, what is trained against torch's own loop."""

import pytest
import torch
from support.exactness import EXACT
from support.networks import gap, shaken
from support.untouched import untouched
from support.words import generator

from satlab.errors import InputError
from satlab.generators import Sentences, find_task, load_language
from satlab.models import build_model
from satlab.probes import AttentionHead, FineTuning, Head, HeadAdamW, PromptTuning, Samples, probe_methods, reads_table
from satlab.probes.attention_head import AttentionClassifier
from satlab.probes.prompt import Prompted, embedding_name
from satlab.probes.tuning.ideal import ideal_prompt, mattering, state_at_mask
from satlab.probes.tuning.labelled import BANDS, Labelled, by_margin, check_posterior, labelled
from satlab.probes.tuning.layout import ORDERS, Layout
from satlab.probes.tuning.readings import READINGS, read

NAMES = ("bert-2x16", "bert-post-1x16", "lstm-1x16", "lstm-residual-2x8")


@pytest.fixture(scope="module")
def language():
    return load_language({"family": "wei2021-hmm", "states": 4, "words": 5, "length": 7, "task_words": 4, "seed": 3})


@pytest.fixture(scope="module")
def task(language):
    return find_task(language, "posterior")


@pytest.mark.parametrize("order", ORDERS)
def test_the_layout(language, order):
    model = build_model("bert-1x16", language)
    layout = Layout(7, 2, order)
    tokens = layout.tokens(model, torch.arange(5).repeat(3, 2)[:, :7])
    fake, mask = [model.cls_id + 1, model.cls_id + 2], [model.mask_id]
    first = fake + mask if order == ORDERS[0] else mask + fake
    assert tokens.tolist() == [[*first, 0, 1, 2, 3]] * 3
    assert tokens[0, layout.mask] == model.mask_id
    assert layout.text == 4


@pytest.mark.parametrize(("length", "prompt"), [(7, 6), (7, 20), (1, 0)])
def test_no_room_for_the_text(length, prompt):
    with pytest.raises(InputError, match=f"prompt is {prompt}.*of the model's {length} positions") as error:
        Layout(length, prompt)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", NAMES)
def test_what_a_head_reads(name, language):
    """Each sentence by itself, the mask put before it by hand."""
    model = shaken(name, language)
    sentences = language.sample(5, generator(0))
    for reads in READINGS:
        rows = []
        for words in sentences.tokens:
            text = torch.cat([torch.tensor([model.mask_id]), words[:6]])[None]
            feature = model.features(text)[0, 0]
            if reads == "pooled":
                masked = [words.masked_fill(torch.arange(7) == i, model.mask_id) for i in range(7)]
                rows.append(torch.stack([model(m[None])[0, i].softmax(0) for i, m in enumerate(masked)]).mean(0))
            else:
                logits = model.logits(feature)
                rows.append({"words": logits.softmax(0), "logits": logits, "feature": feature}[reads])
        assert gap(read(model, sentences, reads), torch.stack(rows)) < 1e-10, reads


def test_the_table_reads_the_exact_truth(language):
    """G_0 and the mean of G_i from the posterior of a longer text whose first word is hidden."""
    table = build_model("lookup", language)
    sentences = language.sample(4, generator(1))
    for row, string in enumerate(sentences.tokens.tolist()):
        shifted = torch.tensor([[0, *string[:6]]])
        hidden = torch.arange(7)[None] == 0
        state = language.posterior(shifted, None, hidden)[0, 0]
        found = read(table, sentences[row : row + 1], "words")[0]
        torch.testing.assert_close(found, state @ language.emission, **EXACT)
        torch.testing.assert_close(state_at_mask(language, sentences.tokens[row : row + 1])[0], state, **EXACT)
        torch.testing.assert_close(read(table, sentences[row : row + 1], "logits")[0].exp(), found, **EXACT)
    pooled = read(table, sentences, "pooled")
    torch.testing.assert_close(pooled, language.conditional(sentences.tokens).mean(1), **EXACT)


def test_the_prompted_truth_by_hand(language, task):
    sentences = language.sample(4, generator(1))
    layout = Layout(7, 2)
    kept = task.readout.weights[0] != task.readout.weights[1]
    assert torch.equal(mattering(task.readout.weights), kept)
    hidden = torch.tensor([[True, False, False, False, False, True, True]])
    found = ideal_prompt(language, task, sentences, layout)
    for row, words in zip(found, sentences.tokens, strict=True):
        state = language.posterior(torch.cat([torch.tensor([0]), words[:6]])[None], None, hidden)[0, 0]
        plain = sum(state[h] * language.emission[h] for h in range(4) if kept[h])
        torch.testing.assert_close(row, plain / plain.sum(), **EXACT)


def head_labels(language, count=40):
    sentences = language.sample(count, generator(2))
    return sentences, (sentences.tokens[:, 0] > 1).long()


def test_the_released_head_is_that_of_torchs_own_loop(language):
    """Same start, orders, rates and cut of the gradient, by plain AdamW and autograd."""
    from satlab.probes.projection import HEAD
    from satlab.randomness import random_stream

    x = torch.rand(40, 5, generator=generator(0), dtype=torch.float64)
    y = (x[:, 0] > x[:, 1]).long()
    how = HeadAdamW(epochs=4, batch_size=16)
    found = how.fit_head(x, y, 2, 5, 1)
    source = random_stream(5, "probe", 1, HEAD)
    weight = torch.nn.Parameter(torch.randn(2, 5, generator=source) * 0.02)
    bias = torch.nn.Parameter(torch.zeros(2))
    optimizer = torch.optim.AdamW([weight, bias], lr=1.0, weight_decay=0.0)
    step = 0
    for _ in range(4):
        for rows in torch.randperm(40, generator=source).split(16):
            step += 1
            rate = 0.01 if step <= 1 else 0.01 * (13 - step) / 12
            optimizer.param_groups[0]["lr"] = rate
            loss = torch.nn.functional.cross_entropy(x[rows].float() @ weight.T + bias, y[rows])
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_([weight, bias], 1.0)
            optimizer.step()
    assert gap(found.weight, weight.detach()) < 1e-6
    assert gap(found.bias, bias.detach()) < 1e-6


def test_the_released_rates():
    how = HeadAdamW()
    assert (how.lr, how.epochs, how.batch_size, how.warmup_steps) == (0.01, 100, 128, 500)
    assert (how.rate(1, 4000), how.rate(500, 4000)) == (0.01 / 500, 0.01)
    assert how.rate(4000, 4000) == pytest.approx(0.01 / 3501)
    assert (how.rate(1, 80), how.rate(10, 80)) == (0.001, 0.01)


@pytest.mark.parametrize("start", ["words", "random"])
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("name", NAMES)
def test_a_prompt_of_words_reads_as_these_words(name, order, start, language):
    """Where a vector is a word's embedding, the model reads that word; the model itself is untouched."""
    model = shaken(name, language)
    with untouched(model):
        prompted = Prompted(model, Layout(7, 2, order), 2, start, "words", generator(0))
        words = model.get_parameter(embedding_name(model))
        assert prompted.vectors.shape == (2, words.shape[1])
        if start == "words":
            assert all(any(torch.equal(v, w) for w in words[:5]) for v in prompted.vectors)
        prompted.vectors.data = words[[3, 1]].clone()
        text = language.sample(4, generator(4)).tokens
        mask, fake = torch.full((4, 1), model.mask_id), torch.tensor([[3, 1]]).expand(4, -1)
        first = [fake, mask] if order == ORDERS[0] else [mask, fake]
        tokens = torch.cat([*first, text[:, :4]], 1)
        expected = model(tokens)[:, 2 if order == ORDERS[0] else 0].softmax(1)
        assert gap(prompted.answer(text), expected) < 1e-10


def test_a_prompt_learns_what_no_head_can(language):
    """An untrained network's words say nothing of the text until prompt and head are trained; its weights stay."""
    sentences, labels = head_labels(language, 200)
    model = shaken("bert-1x16", language, dtype=torch.float32)
    one = Labelled(sentences, labels, sentences, labels, 0)
    how = PromptTuning(prompt=2, epochs=20, batch_size=20)
    with untouched(model):
        prompted = how.tuned(model, one, 2, 0)
        again = how.tuned(model, one, 2, 0)
    assert torch.equal(prompted.vectors, again.vectors)
    with torch.no_grad():
        losses = [
            float(torch.nn.functional.cross_entropy(p.scores(sentences.tokens), labels))
            for p in (prompted, Prompted(model, Layout(7, 2), 2, "words", "words", generator(0)))
        ]
    assert losses[0] < losses[1] - 0.05


def test_probes_of_the_table_meet_the_bayes_optimum(language, task):
    """Beside every tuning stands the same on the exact truth; here two states share a word, which a prompt mends."""
    samples = Samples(600, 400, 2)
    table = build_model("lookup", language)
    head = Head().accuracy(table, language, task, samples)
    prompt = PromptTuning(prompt=2).accuracy(table, language, task, samples)
    assert (head.n, prompt.n) == (2, 2)
    assert 0.6 < head.value < prompt.value
    assert prompt.value > 0.99
    assert "tv_posterior" not in head.chosen
    assert set(BANDS) <= set(head.chosen)
    assert all(reads_table(name) for name in ("head", "head-adamw", "prompt", "linear"))
    assert not reads_table("fine-tune")


def test_the_distance_to_the_truth_is_logged(language, task):
    model = shaken("bert-1x16", language)
    samples = Samples(60, 50, 2)
    found = Head().accuracy(model, language, task, samples)
    (_, one) = labelled(samples, language, task)
    table = read(build_model("lookup", language), one.test, "words")
    error = read(model, one.test, "words") - table
    assert found.chosen["tv_posterior"][1] == pytest.approx(float(error.abs().sum(1).mean() / 2))
    assert found.chosen["l2_posterior"][1] == pytest.approx(float(error.square().sum(1).sqrt().mean()))


def test_accuracy_by_margin(language, task):
    sentences = language.sample(300, generator(5))
    scores = task.posterior(sentences) @ task.readout.weights.T
    margin = (scores[:, 0] - scores[:, 1]).abs()
    torch.testing.assert_close(task.margins(sentences), margin)
    right = margin > 5e-3
    found = by_margin(task, sentences, right)
    assert found[BANDS[2]] == 1.0
    middle = (margin > 1e-4) & (margin <= 1e-2)
    assert found[BANDS[1]] == pytest.approx(float(right[middle].double().mean()), nan_ok=True)
    assert found["share_margin_below_1e-4"] == pytest.approx(float((margin <= 1e-4).double().mean()))


def test_texts_of_one_label_are_drawn_again_and_then_refused(language, task):
    class Rare:
        name, classes, own_inputs = "rare", ("1", "2"), False
        seen = 0

        def inputs(self, language, num, generator):
            return language.sample(num, generator)

        def posterior(self, sentences):
            return None

        def labels(self, sentences):
            self.seen += 1
            return torch.zeros(len(sentences), dtype=torch.long) + (self.seen == 4) * (torch.arange(len(sentences)) > 0)

    rare = Rare()
    (one,) = labelled(Samples(3, 2, 1), language, rare)
    assert one.labels.tolist() == [0, 1, 1]
    with pytest.raises(InputError, match="one label, also after 20 redraws"):
        list(labelled(Samples(3, 2, 1), language, rare))


@pytest.mark.parametrize(
    ("method", "change", "match"),
    [
        (Head, {"reads": "word"}, "reads is 'word', expected one of words"),
        (Head, {"ridge": 0.0}, "ridge is 0.0, expected a positive number"),
        (HeadAdamW, {"lr": 0.0}, "lr is 0.0"),
        (PromptTuning, {"prompt": 0}, "prompt is 0, expected at least 1"),
        (PromptTuning, {"order": "text-first"}, "order is 'text-first', expected one of prompt-mask-text"),
        (PromptTuning, {"start": "word"}, "did you mean 'words'"),
        (PromptTuning, {"reads": "pooled"}, "unknown reads 'pooled'"),
    ],
)
def test_settings_that_cannot_be(method, change, match):
    with pytest.raises(InputError, match=match):
        method(**change)


@pytest.mark.parametrize("method", [Head(), HeadAdamW(), AttentionHead(), PromptTuning(prompt=2)])
def test_what_cannot_be_tuned_is_refused(method, language, task):
    samples = Samples(30, 20, 1)
    with pytest.raises(InputError, match="reads from left to right"):
        method.accuracy(build_model("gpt-1x16", language), language, task, samples)
    with pytest.raises(InputError, match="reads from left to right"):
        method.check_use("gpt-1x16", True, language, task, samples)
    with pytest.raises(InputError, match=r"task 'state-1' is not a function of a posterior.*choose one of posterior"):
        method.check_use("bert-1x16", False, language, find_task(language, "state-1"), samples)
    brackets = load_language("dyck-1")
    with pytest.raises(InputError, match="such a task, for example wei2021-hmm"):
        check_posterior(brackets, next(iter(brackets.tasks.values())))
    method.check_use("bert-1x16", False, language, task, samples)


def test_a_prompt_needs_weights_on_the_states():
    """The task slot is a function of a posterior, but no ideal prompt is known: said before anything is measured."""
    slots = load_language({"family": "wei2021-memory-hmm", "slots": 2, "length": 7, "task_words": 4})
    slot = find_task(slots, "slot")
    Head().check_use("bert-1x16", False, slots, slot, Samples(30, 20, 1))
    with pytest.raises(InputError, match=r"task 'slot' has no weights on the states.*or the method head"):
        PromptTuning(prompt=2).check_use("bert-1x16", False, slots, slot, Samples(30, 20, 1))


def test_other_probes_take_any_task(language):
    FineTuning().check_use("gpt-1x16", True, language, find_task(language, "state-1"), Samples(3, 2, 1))
    assert {"head", "head-adamw", "prompt"} <= set(probe_methods)


def test_a_prompt_longer_than_the_model(language, task):
    with pytest.raises(InputError, match="give prompt at most 5"):
        PromptTuning(prompt=6).check_use("bert-1x16", False, language, task, Samples(30, 20, 1))
    sentences = language.sample(2, generator(0))
    assert isinstance(sentences, Sentences)


def test_attention_is_that_of_the_formula(language):
    """Softmax over the words of the text alone; hard attention takes the largest, and has the soft one's gradient."""
    x = torch.rand(6, 5, 4, generator=generator(1))
    x[0, 3:] = 0
    score, weight, bias = (torch.randn(*shape, generator=generator(2)) for shape in ((4,), (3, 4), (3,)))
    for row in range(6):
        words = x[row, :3] if row == 0 else x[row]
        attention = (words @ score).softmax(0)
        soft = weight @ (attention @ words) + bias
        hard = weight @ words[(words @ score).argmax()] + bias
        for expected, kind in ((soft, False), (hard, True)):
            found = AttentionClassifier(score, weight, bias, kind).scores(x[row : row + 1])[0]
            torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    u = score.clone().requires_grad_()
    AttentionClassifier(u, weight, bias, True).scores(x).sum().backward()
    assert float(u.grad.abs().max()) > 0


@pytest.mark.parametrize("attention", ["soft", "hard"])
def test_attention_reads_a_memory(attention):
    """On the exact truth, in a language whose words tell the slot."""
    slots = load_language({"preset": "wei2021-memory-hmm", "slots": 2, "length": 12, "task_words": 12, "seed": 1})
    found = AttentionHead(attention=attention, epochs=30, batch_size=32).accuracy(
        build_model("lookup", slots), slots, find_task(slots, "posterior"), Samples(400, 300, 1)
    )
    assert found.value > 0.9
    assert found.n == 1


def test_attention_must_be_known():
    with pytest.raises(InputError, match="unknown attention 'firm'"):
        AttentionHead(attention="firm")
