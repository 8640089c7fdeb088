"""The trainer's entry: every kind of network under every masking and target, with the defaults, and what is refused."""

import pytest
from support.networks import demo_hmm, grammar_language, tiny_hmm

from satlab.errors import InputError
from satlab.models import build_model, load_model
from satlab.train import HeldOut, TrainConfig, Trainer, checkpoints

KINDS = ("bert", "bert-post", "gpt", "lstm", "lstm-residual")
MASKINGS = (None, "one", "bernoulli:0.3", "next")


def one_line(error):
    """The message, which must tell what was given, what was expected and what to do in one line."""
    text = str(error.value)
    assert "\n" not in text
    assert ";" in text
    return text


@pytest.mark.parametrize("targets", ["sampled", "exact"])
@pytest.mark.parametrize("masking", MASKINGS)
@pytest.mark.parametrize("kind", KINDS)
def test_every_network_trains_under_every_masking_or_says_why_not(kind, masking, targets, tmp_path):
    """The defaults of all settings but the number of steps."""
    language = grammar_language()
    model = build_model(f"{kind}-1x32", language)
    before = [p.detach().clone() for p in model.parameters()]
    config = TrainConfig(steps=2, targets=targets, **({} if masking is None else {"masking": masking}))
    if masking is not None and (masking == "next") != (kind == "gpt"):
        with pytest.raises(InputError, match=f"masking '{masking}': model '{kind}-1x32'") as error:
            Trainer(model, language, config, tmp_path)
        assert one_line(error)
        assert list(tmp_path.iterdir()) == []
        return
    made = Trainer(model, language, config, tmp_path)
    expected = masking or ("next" if kind == "gpt" else "one")
    assert (made.config.masking, made.stream.masking, made.held_out.masking) == (expected,) * 3
    (row,) = made.rows()
    assert row.step == 2
    assert row.kl > 0
    assert [step for step, _ in checkpoints(tmp_path)] == [2]
    assert any((p != q).any() for p, q in zip(model.parameters(), before, strict=True))


def test_the_short_form_is_what_the_configuration_says(tmp_path):
    made = Trainer(build_model("gpt-1x32", demo_hmm()), demo_hmm(), TrainConfig(steps=1, batch_size=7), str(tmp_path))
    assert len(made.stream.batch(1).inputs) == 7
    (row,) = made.rows()
    assert row.step == 1
    assert row.tokens_per_second > 0
    assert made.is_saturated(load_model(tmp_path)) == row.saturated


@pytest.mark.parametrize(
    ("model", "changes", "message"),
    [
        (lambda: build_model("lookup", demo_hmm()), {}, "model 'lookup' has no weights to train"),
        (
            lambda: build_model("bert-1x8", tiny_hmm()),
            {},
            "model 'bert-1x8' was built for 3 words, sentences of up to 3",
        ),
        (
            lambda: build_model("bert-1x8", demo_hmm(), dropout=0.2),
            {},
            "has dropout 0.2 and the configuration 0, expected",
        ),
        (lambda: build_model("bert-1x8", demo_hmm()), {"dropout": 0.1}, "has dropout 0 and the configuration 0.1"),
        (lambda: build_model("lstm-1x8", demo_hmm()), {"sharding": "fsdp"}, "sharding 'fsdp' of model 'lstm-1x8'"),
        (lambda: build_model("bert-1x8", demo_hmm()), {"masking": "some"}, "masking 'some'"),
        (
            lambda: build_model("bert-1x8", demo_hmm()),
            {"adversary_task": "state-x", "stop_at_saturation": False},
            "task 'state-x'",
        ),
    ],
)
def test_what_does_not_go_together_is_refused_in_one_line(model, changes, message, tmp_path):
    with pytest.raises(InputError, match=message) as error:
        Trainer(model(), demo_hmm(), TrainConfig(**changes), tmp_path)
    assert "\n" not in str(error.value)
    assert list(tmp_path.iterdir()) == []


def test_held_out_sentences_ask_for_a_masking():
    with pytest.raises(InputError, match="masking is not given, expected one") as error:
        HeldOut(demo_hmm(), TrainConfig())
    assert one_line(error)
