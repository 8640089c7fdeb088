"""A corpus on disk: readable by anyone, exact, the same bytes every time, and never mixed up with another."""

import hashlib
import itertools
import json

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from support.commands import contents

from satlab.errors import InputError
from satlab.generators import HMM, Sentences, load_language
from satlab.generators.corpus import writer as corpus_writer
from satlab.generators.corpus.manifest import signature

GRAMMAR = "S -> 'a' S 'b' [0.3] | T [0.7]\nT -> 'c' T [0.4] | 'd' [0.6]\n"
SENTENCES, SHARD = 25, 10


@pytest.fixture(params=["hmm", "pcfg"])
def language(request):
    source = "demo-hmm" if request.param == "hmm" else {"family": "pcfg", "grammar": GRAMMAR, "max_length": 7}
    return load_language(source)


@pytest.fixture(autouse=True)
def small_shards(monkeypatch):
    monkeypatch.setattr(corpus_writer, "SHARD_SENTENCES", SHARD)


def write(language, out, sentences=SENTENCES, seed=3, truth=True):
    return list(corpus_writer.write_corpus(language, "mine", sentences, out, seed, truth))


def tables(folder):
    return [pq.read_table(path) for path in sorted(folder.glob("*.parquet"))]


def test_files_and_manifest(language, tmp_path):
    assert write(language, tmp_path / "c") == [10, 20, 25]
    files = contents(tmp_path / "c")
    shards = [f"shard-{i:05d}.parquet" for i in range(3)]
    assert sorted(files) == sorted(["manifest.json", f"language{language.suffix}", *shards])
    manifest = json.loads(files["manifest.json"])
    assert [(s["file"], s["rows"]) for s in manifest["shards"]] == list(zip(shards, [10, 10, 5], strict=True))
    assert [s["sha256"] for s in manifest["shards"]] == [hashlib.sha256(files[name]).hexdigest() for name in shards]
    assert manifest["complete"] is True
    assert manifest["words"] == list(language.words)
    assert manifest["classes"] == {name: list(task.classes) for name, task in language.tasks.items()}
    assert (manifest["seed"], manifest["sentences"], manifest["truth"]) == (3, SENTENCES, True)
    kept = load_language(tmp_path / "c" / f"language{language.suffix}")
    assert kept.fingerprint() == language.fingerprint() == manifest["fingerprint"]


@pytest.mark.parametrize(("words", "narrowest"), [(2**15, "int16"), (2**15 + 1, "int32")])
def test_tokens_have_the_narrowest_type_that_holds_every_word(words, narrowest, tmp_path):
    emission = np.zeros((1, words))
    emission[0, -1] = 1.0
    write(HMM([1.0], [[1.0]], emission, 2), tmp_path / "c", 3, truth=False)
    tokens = tables(tmp_path / "c")[0]["tokens"]
    assert tokens.type.value_type == narrowest
    assert tokens.to_pylist() == [[words - 1] * 2] * 3


@pytest.mark.parametrize("truth", [False, True])
def test_columns(language, tmp_path, truth):
    write(language, tmp_path / "c", truth=truth)
    latents = {".npz": ["states"], ".yaml": ["nodes"]}[language.suffix]
    labels = [f"label_{name}" for name in language.tasks]
    for table, rows in zip(tables(tmp_path / "c"), [10, 10, 5], strict=True):
        assert table.column_names == [
            "tokens",
            "length",
            *latents,
            *labels,
            *(["masked_position", "truth"] if truth else []),
        ]
        assert table.num_rows == rows
        assert [len(tokens) for tokens in table["tokens"].to_pylist()] == table["length"].to_pylist()
        assert {token for tokens in table["tokens"].to_pylist() for token in tokens} <= set(range(language.vocab_size))
        for name, task in language.tasks.items():
            assert set(table[f"label_{name}"].to_pylist()) <= set(range(len(task.classes)))


def test_truth_is_the_conditional_at_the_masked_position(language, tmp_path):
    write(language, tmp_path / "c")
    positions = []
    for table in tables(tmp_path / "c"):
        for row in table.to_pylist():
            tokens, hidden = torch.tensor([row["tokens"]]), row["masked_position"]
            expected = language.conditional(tokens)[0, hidden]
            np.testing.assert_allclose(row["truth"], expected.numpy(), rtol=1e-12, atol=1e-15)
            assert 0 <= hidden < row["length"]
            positions.append(hidden)
    assert len(set(positions)) > 2


def test_labels_of_a_function_of_the_words_are_those_of_its_task(tmp_path):
    language = load_language({"family": "pcfg", "grammar": GRAMMAR, "max_length": 7})
    write(language, tmp_path / "c", sentences=60)
    for table in tables(tmp_path / "c"):
        for row in table.to_pylist():
            padded = torch.tensor([row["tokens"] + [language.pad_id] * (7 - row["length"])])
            sentences = Sentences(padded, torch.tensor([row["length"]]))
            assert row["label_A"] == int(language.tasks["A"].labels(sentences)[0])


def test_the_same_seed_gives_the_same_bytes_and_another_other_ones(language, tmp_path):
    for name, seed in (("one", 3), ("two", 3), ("other", 4)):
        write(language, tmp_path / name, seed=seed)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    assert tables(tmp_path / "one")[0]["tokens"] != tables(tmp_path / "other")[0]["tokens"]
    first, second, _ = tables(tmp_path / "one")
    assert first["tokens"] != second["tokens"]


def test_truth_does_not_change_the_sentences(language, tmp_path):
    write(language, tmp_path / "with", truth=True)
    write(language, tmp_path / "without", truth=False)
    for one, two in zip(tables(tmp_path / "with"), tables(tmp_path / "without"), strict=True):
        assert one.drop_columns(["masked_position", "truth"]).equals(two)


def test_a_finished_corpus_is_left_as_it_is(language, tmp_path):
    write(language, tmp_path / "c")
    before = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "c").glob("*.parquet")}
    whole = contents(tmp_path / "c")
    assert write(language, tmp_path / "c") == [10, 20, 25]
    assert contents(tmp_path / "c") == whole
    assert {path.name: path.stat().st_mtime_ns for path in (tmp_path / "c").glob("*.parquet")} == before


@pytest.mark.parametrize("shards", [1, 2, 3])
def test_an_abandoned_corpus_is_gone_on_with(language, tmp_path, shards):
    write(language, tmp_path / "whole")
    writer = corpus_writer.write_corpus(language, "mine", SENTENCES, tmp_path / "c", 3, True)
    assert len(list(itertools.islice(writer, shards))) == shards
    writer.close()
    assert len(list((tmp_path / "c").glob("*.parquet"))) == shards
    assert json.loads((tmp_path / "c" / "manifest.json").read_text())["complete"] is False
    write(language, tmp_path / "c")
    assert contents(tmp_path / "c") == contents(tmp_path / "whole")


@pytest.mark.parametrize("lost", [0, 1, 2])
def test_a_lost_shard_is_written_again(language, tmp_path, lost):
    write(language, tmp_path / "c")
    whole = contents(tmp_path / "c")
    (tmp_path / "c" / f"shard-{lost:05d}.parquet").unlink()
    write(language, tmp_path / "c")
    assert contents(tmp_path / "c") == whole


def test_a_shard_that_the_manifest_did_not_come_to_know_is_written_again(language, tmp_path):
    write(language, tmp_path / "c")
    whole = contents(tmp_path / "c")
    manifest = json.loads(whole["manifest.json"])
    manifest |= {"shards": manifest["shards"][:1], "complete": False}
    manifest["manifest_sha256"] = signature(manifest)
    (tmp_path / "c" / "manifest.json").write_text(json.dumps(manifest))
    (tmp_path / "c" / "shard-00001.parquet").write_bytes(b"half")
    write(language, tmp_path / "c")
    assert contents(tmp_path / "c") == whole


def test_leftovers_of_an_interruption_are_removed(language, tmp_path):
    write(language, tmp_path / "whole")
    writer = corpus_writer.write_corpus(language, "mine", SENTENCES, tmp_path / "c", 3, True)
    next(writer)
    writer.close()
    (tmp_path / "c" / ".shard-00001.parquet.partial").write_bytes(b"half a shard")
    (tmp_path / "c" / ".manifest.json.partial").write_bytes(b"{")
    write(language, tmp_path / "c")
    assert contents(tmp_path / "c") == contents(tmp_path / "whole")


def test_an_interruption_before_the_first_shard(language, tmp_path, monkeypatch):
    write(language, tmp_path / "whole")
    with monkeypatch.context() as patch:
        patch.setattr(corpus_writer, "write_atomic", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            write(language, tmp_path / "c")
    write(language, tmp_path / "c")
    assert contents(tmp_path / "c") == contents(tmp_path / "whole")


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"seed": 4}, "seed: 3 there"),
        ({"sentences": 26}, "sentences: 25 there"),
        ({"truth": False}, "truth: True there"),
    ],
)
def test_another_corpus_is_refused(language, tmp_path, change, match):
    write(language, tmp_path / "c")
    whole = contents(tmp_path / "c")
    with pytest.raises(InputError, match=f"another corpus .{match}"):
        write(language, tmp_path / "c", **change)
    assert contents(tmp_path / "c") == whole


def test_another_language_is_refused(tmp_path):
    write(load_language("demo-hmm"), tmp_path / "c")
    whole = contents(tmp_path / "c")
    with pytest.raises(InputError, match="another corpus"):
        write(load_language({"preset": "demo-hmm", "seed": 1}), tmp_path / "c")
    assert contents(tmp_path / "c") == whole


@pytest.mark.parametrize("manifest", ["3", "[]", "{}", "null"])
def test_a_manifest_of_something_else_is_refused(tmp_path, manifest):
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "manifest.json").write_text(manifest)
    with pytest.raises(InputError, match="holds"):
        write(load_language("demo-hmm"), tmp_path / "c")
    assert contents(tmp_path / "c") == {"manifest.json": manifest.encode()}


def test_two_languages_in_one_file_are_told_apart(tmp_path):
    """The file's name is the same, so that the message names no name."""
    file, out = tmp_path / "g.pcfg", tmp_path / "c"

    def written(source):
        return list(corpus_writer.write_corpus(load_language(source), source, 20, out))

    file.write_text("S -> 'a' [0.5] | 'b' [0.5]\n")
    written(str(file))
    whole = contents(out)
    file.write_text("S -> 'a' [0.25] | 'b' [0.75]\n")
    with pytest.raises(InputError, match=r"holds another corpus \(language: another\), expected this one"):
        written(str(file))
    with pytest.raises(InputError, match=r"holds another corpus \(language: .*g\.pcfg there\), expected this one"):
        written("demo-hmm")
    assert contents(out) == whole
