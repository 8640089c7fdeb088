"""Training on a corpus: every sentence once a pass, batches a function of (seed, step), runs resumed bit for bit."""

import json
import shlex
import shutil
from collections import Counter
from dataclasses import asdict

import numpy as np
import pytest
import torch
from support.disturbed import outcome

from satlab.errors import InputError
from satlab.generators import load_language
from satlab.generators.corpus.manifest import open_corpus
from satlab.generators.corpus.stream import CorpusStream
from satlab.generators.corpus.writer import write_corpus
from satlab.lab.cli import main as cli
from satlab.lab.runs.run import create_run, load_run
from satlab.lab.runs.training import train_run
from satlab.train import TrainConfig

GRAMMAR = "S -> 'a' S 'b' [0.3] | T [0.7]\nT -> 'c' T [0.4] | 'd' [0.6]\n"
LANGUAGES = {"hmm": "demo-hmm", "pcfg": {"family": "pcfg", "grammar": GRAMMAR, "max_length": 7}}
SENTENCES, SHARD = 47, 10
CONFIG = TrainConfig(
    steps=12, batch_size=8, lr=3e-3, checkpoints=[4], evaluate_every=3, resume_every=5, evaluation_sentences=50
)
MODEL = "bert-1x8"
BATCH = ("inputs", "rows", "positions", "targets")


def write(out, language="hmm", format="parquet", seed=3, sentences=SENTENCES):
    made = write_corpus(
        load_language(LANGUAGES[language]), "m", sentences, out, seed, False, format, shard_sentences=SHARD
    )
    list(made)
    return out


def stream(folder, batch_size=8, seed=5, masking="one"):
    return CorpusStream(open_corpus(folder), load_language(folder), batch_size, seed, masking)


def same(one, other):
    return all(torch.equal(getattr(one, name), getattr(other, name)) for name in BATCH)


def words(stream, batch):
    """The sentences of a batch as tuples, what was hidden put back."""
    tokens = batch.inputs.clone()
    tokens[batch.rows, batch.positions] = batch.targets
    return [tuple(token for token in row if token != stream.language.pad_id) for row in tokens.tolist()]


def sentences_of(folder):
    corpus = open_corpus(folder)
    found = []
    for number in range(len(corpus)):
        flat, lengths = corpus.tokens(number)
        found += [tuple(part.tolist()) for part in np.split(flat, lengths.cumsum()[:-1])]
    return found


@pytest.mark.parametrize("format", ["parquet", "bin"])
@pytest.mark.parametrize("language", LANGUAGES)
def test_each_pass_takes_every_sentence_once_in_an_order_of_its_own(tmp_path, language, format):
    folder = write(tmp_path / "c", language, format)
    reading, orders = stream(folder, batch_size=1), []
    for number in range(3):
        steps = range(number * SENTENCES + 1, (number + 1) * SENTENCES + 1)
        orders.append([words(reading, reading.batch(step))[0] for step in steps])
    whole = sentences_of(folder)
    assert len(whole) == SENTENCES
    assert [Counter(order) for order in orders] == [Counter(whole)] * 3
    assert len({tuple(order) for order in [whole, *orders]}) == 4


@pytest.mark.parametrize("batch_size", [8, SENTENCES, 3 * SENTENCES + 1])
@pytest.mark.parametrize("masking", ["one", "bernoulli:0.4"])
def test_a_batch_depends_on_seed_and_step_alone(tmp_path, batch_size, masking):
    folder = write(tmp_path / "c", "pcfg")
    fresh = stream(folder, batch_size, masking=masking).batch(5)
    reading = stream(folder, batch_size, masking=masking)
    for step in (9, 1, 5, 4):
        reading.batch(step)
    torch.manual_seed(123)
    assert same(fresh, reading.batch(5))
    assert same(fresh, stream(write(tmp_path / "b", "pcfg", "bin"), batch_size, masking=masking).batch(5))
    assert not same(fresh, reading.batch(6))
    assert not same(fresh, stream(folder, batch_size, seed=6, masking=masking).batch(5))


def test_batches_go_on_where_the_last_one_ended(tmp_path):
    folder = write(tmp_path / "c")
    one, many = stream(folder, 1), stream(folder, 13)
    for step in range(1, 9):
        singles = [words(one, one.batch(place + 1))[0] for place in range(13 * (step - 1), 13 * step)]
        assert words(many, many.batch(step)) == singles


def test_a_batch_looks_as_one_from_the_language(tmp_path):
    reading = stream(write(tmp_path / "c", "pcfg"), 30)
    batch, language = reading.batch(1), reading.language
    assert batch.inputs.shape == (30, language.max_length)
    assert batch.inputs.dtype == batch.targets.dtype == torch.long
    assert batch.rows.tolist() == list(range(30))
    assert (batch.inputs == language.mask_id).sum(1).tolist() == [1] * 30
    assert set(words(reading, batch)) <= set(sentences_of(tmp_path / "c"))


def test_a_damaged_or_missing_shard_is_named_when_its_turn_comes(tmp_path):
    folder = write(tmp_path / "c")
    reading = stream(folder)
    for path in folder.glob("shard-*"):
        path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(InputError, match=r"shard-0000\d.parquet: damaged, .*satlab verify .* --repair"):
        list(map(reading.batch, range(1, 7)))
    for path in folder.glob("shard-*"):
        path.unlink()
    with pytest.raises(InputError, match="missing"):
        stream(folder)


def make(folder, source, **changes):
    return create_run(folder, str(source), MODEL, TrainConfig(**(asdict(CONFIG) | changes)))


def contents(folder):
    """All that a run leaves, without what the clock says and where the corpus was."""
    found, rows = outcome(folder)
    found.pop("config.yaml")
    return found, rows


class StoppedError(Exception):
    """What ends a session of training."""


@pytest.mark.parametrize("format", ["parquet", "bin"])
def test_a_run_that_was_stopped_goes_on_bit_for_bit(tmp_path, format):
    """Also where the corpus has been moved meanwhile."""
    folder = write(tmp_path / "c", format=format)
    train_run(make(tmp_path / "whole", folder))

    def stop(step, loss):
        if step in (2, 7, 11):
            raise StoppedError

    for source in (folder, tmp_path / "moved", tmp_path / "moved"):
        if source != folder and folder.exists():
            shutil.move(folder, source)
        with pytest.raises(StoppedError):
            train_run(make(tmp_path / "parts", source), on_step=stop)
    train_run(make(tmp_path / "parts", tmp_path / "moved"))
    assert contents(tmp_path / "parts") == contents(tmp_path / "whole")
    assert load_run(tmp_path / "parts").corpus.folder == str(folder)


def test_the_held_out_sentences_and_the_floor_are_the_languages_own(tmp_path):
    train_run(make(tmp_path / "corpus", write(tmp_path / "c")))
    train_run(make(tmp_path / "fresh", "demo-hmm"))
    one, other = load_run(tmp_path / "corpus").metrics, load_run(tmp_path / "fresh").metrics
    assert [row["floor"] for row in one] == [row["floor"] for row in other]
    assert [row["loss"] for row in one] != [row["loss"] for row in other]
    assert load_run(tmp_path / "fresh").corpus is None


@pytest.mark.parametrize("change", ["seed", "sentences", "fresh", "from fresh"])
def test_going_on_with_other_sentences_is_refused(tmp_path, change):
    corpus = write(tmp_path / "c")
    other = write(tmp_path / "d", **({"seed": 4} if change == "seed" else {"sentences": 48}))
    first, then = {"fresh": (corpus, "demo-hmm"), "from fresh": ("demo-hmm", corpus)}.get(change, (corpus, other))
    make(tmp_path / "r", first)
    before = (tmp_path / "r" / "config.yaml").read_bytes()
    with pytest.raises(InputError, match=r"another run \(corpus: .* there, .* given, with other sentences\)"):
        make(tmp_path / "r", then)
    assert (tmp_path / "r" / "config.yaml").read_bytes() == before


def test_a_corpus_that_was_replaced_is_refused(tmp_path):
    run = make(tmp_path / "r", write(tmp_path / "c"))
    shutil.rmtree(tmp_path / "c")
    write(tmp_path / "c", seed=4)
    with pytest.raises(InputError, match=r"not the sentences that .* was begun with"):
        train_run(run)


SMALL = "--steps 6 --batch_size 8 --evaluate_every 3 --evaluation_sentences 50 --model bert-1x8"


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (f"train c --out r --max-length 4 {SMALL}", ["c: sentences of another language", "leave max_length out"]),
        (
            f"train unfinished --out r {SMALL}",
            ["unfinished: the corpus is unfinished", "satlab generate command again"],
        ),
        (f"train spoilt --out r {SMALL}", ["spoilt", "manifest.json: damaged"]),
    ],
)
def test_what_cannot_be_trained_on_is_one_line_and_writes_nothing(tmp_path, refused, line, words):
    write(tmp_path / "c")
    shutil.copytree("c", "spoilt")
    (tmp_path / "spoilt" / "manifest.json").write_text("{}")
    unfinished = write_corpus(load_language("demo-hmm"), "m", SENTENCES, tmp_path / "unfinished", shard_sentences=SHARD)
    next(unfinished)
    unfinished.close()
    refused(line, *words)


def test_the_command_line_trains_on_a_corpus_and_measures_its_language(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "c")
    for line in (f"train c --out r {SMALL}", "evaluate r --sentences 30", "floor c --sentences 50"):
        assert cli.run(shlex.split(line)) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert (rows[0]["run"], rows[0]["step"]) == ("r", 6)
    assert rows[-1]["language"] == "c"
    assert load_run(tmp_path / "r").corpus.folder == str(tmp_path / "c")
