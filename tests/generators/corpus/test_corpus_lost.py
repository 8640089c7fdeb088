"""A kill at any moment, or a manifest that is gone: the same command goes on, and what is not its own is left alone."""

import json
import shutil

import pytest
from support.commands import contents
from support.killed import forks, killed_at

from satlab.errors import InputError
from satlab.generators import load_language
from satlab.generators.corpus import writer as corpus_writer
from satlab.generators.corpus.manifest import open_corpus
from satlab.lab.cli import main as cli

SENTENCES, SHARD = 45, 10
FORMATS = ("parquet", "bin")


def write(out, format="parquet", seed=3, sentences=SENTENCES, source="demo-hmm", shard=SHARD):
    language = load_language(source)
    return list(
        corpus_writer.write_corpus(language, "mine", sentences, out, seed, False, format, shard_sentences=shard)
    )


@pytest.fixture(params=["parquet", pytest.param("bin", marks=pytest.mark.slow)])
def whole(request, tmp_path):
    """(the format, a finished corpus in it, its files)"""
    write(tmp_path / "c", request.param)
    return request.param, tmp_path / "c", contents(tmp_path / "c")


@forks
@pytest.mark.parametrize(
    ("seconds", "lost"),
    [(0.0, True), *[pytest.param(*case, marks=pytest.mark.slow) for case in ((1.0, False), (0.0, False), (1.0, True))]],
)
def test_a_kill_at_any_moment_leaves_what_the_same_command_goes_on_with(whole, tmp_path, monkeypatch, seconds, lost):
    """Also where it goes over a corpus whose manifest was lost. seconds: between two notes of what is done."""
    format, corpus, files = whole
    monkeypatch.setattr(corpus_writer, "MANIFEST_SECONDS", seconds)
    out, step, killed = tmp_path / "out", 0, True
    while killed:
        if lost:
            shutil.copytree(corpus, out)
            (out / "manifest.json").unlink()
        killed = killed_at(step, lambda: write(out, format))
        write(out, format)
        assert contents(out) == files, step
        shutil.rmtree(out)
        step += 1
    assert step > 12


@pytest.mark.parametrize("also", [[], ["language.npz"], ["shard-00000.parquet", "shard-00004.parquet", "train.bin"]])
def test_a_lost_manifest_is_made_again(whole, also):
    format, corpus, files = whole
    for name in ["manifest.json", *also]:
        (corpus / name).unlink(missing_ok=True)
    assert write(corpus, format) == [10, 20, 30, 40, 45]
    assert contents(corpus) == files


def test_a_note_beside_it_stands_in_no_ones_way(whole):
    format, corpus, files = whole
    (corpus / "manifest.json").unlink()
    (corpus / "notes.txt").write_text("mine")
    write(corpus, format)
    assert contents(corpus) == files | {"notes.txt": b"mine"}


@pytest.mark.parametrize("format", FORMATS)
def test_the_lost_manifest_of_an_unfinished_corpus_too(tmp_path, format):
    write(tmp_path / "whole", format)
    language = load_language("demo-hmm")
    writer = corpus_writer.write_corpus(
        language, "mine", SENTENCES, tmp_path / "c", 3, False, format, shard_sentences=SHARD
    )
    next(writer)
    next(writer)
    writer.close()
    (tmp_path / "c" / "manifest.json").unlink()
    write(tmp_path / "c", format)
    assert contents(tmp_path / "c") == contents(tmp_path / "whole")


def test_a_train_bin_that_is_being_made_again_has_a_hidden_name(tmp_path):
    write(tmp_path / "c", "bin")
    (tmp_path / "c" / "manifest.json").unlink()
    language = load_language("demo-hmm")
    writer = corpus_writer.write_corpus(
        language, "mine", SENTENCES, tmp_path / "c", 3, False, "bin", shard_sentences=SHARD
    )
    next(writer)
    assert not (tmp_path / "c" / "train.bin").exists()
    writer.close()


FOREIGN = {
    "a file beside": (lambda folder: (folder / "notes.txt").write_text("mine"), "holds something else"),
    "a directory beside": (lambda folder: (folder / "sub").mkdir(), "holds something else"),
    "another seed": (lambda folder: write(folder, seed=4), "not shard 0 of this corpus, and manifest.json is missing"),
    "more sentences": (lambda folder: write(folder, sentences=46), "not shard 4 of this corpus"),
    "more shards": (lambda folder: write(folder, sentences=51), "holds something else"),
    "larger shards": (lambda folder: write(folder, shard=12), "not shard 0 of this corpus"),
    "another format": (lambda folder: write(folder, "bin"), "holds something else"),
    "another language": (
        lambda folder: write(folder, source={"preset": "demo-hmm", "seed": 1}),
        "holds something else",
    ),
    "a damaged shard": (
        lambda folder: (write(folder), (folder / "shard-00000.parquet").write_bytes(b"PAR2")),
        "not shard 0 of this corpus",
    ),
}


@pytest.mark.parametrize("kind", FOREIGN)
def test_without_a_manifest_nothing_foreign_is_written_over(tmp_path, kind):
    prepare, message = FOREIGN[kind]
    (tmp_path / "c").mkdir()
    prepare(tmp_path / "c")
    (tmp_path / "c" / "manifest.json").unlink(missing_ok=True)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(InputError, match=message):
        write(tmp_path / "c")
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_another_train_bin_is_not_written_over_either(tmp_path):
    write(tmp_path / "c", "bin", seed=4)
    (tmp_path / "c" / "manifest.json").unlink()
    before = contents(tmp_path / "c")
    with pytest.raises(InputError, match=r"train.bin: not shard 0 of this corpus, and manifest.json is missing"):
        write(tmp_path / "c", "bin")
    assert contents(tmp_path / "c") == before


def test_verify_says_that_the_manifest_is_missing_and_what_to_do(whole, refused):
    _, corpus, _ = whole
    (corpus / "manifest.json").unlink()
    refused(["verify", corpus], f"satlab: {corpus}/manifest.json: missing", "run the satlab generate command of this")


CHANGES = {
    "seed": 4,
    "sentences": 46,
    "truth": True,
    "shard_sentences": 11,
    "fingerprint": "0" * 64,
    "language_sha256": "0" * 64,
    "words": ["a"] * 10,
    "max_length": 3,
    "classes": {},
    "language": "another",
    "versions": {},
}


@pytest.mark.parametrize("key", [*CHANGES, "bytes", "sha256"])
def test_a_manifest_with_a_changed_field_is_damaged_for_all(whole, key, refused):
    format, corpus, _ = whole
    path = corpus / "manifest.json"
    manifest = json.loads(path.read_text())
    if key in CHANGES:
        assert manifest[key] != CHANGES[key]
        manifest[key] = CHANGES[key]
    else:
        manifest["shards"][2][key] = {"bytes": 7, "sha256": "0" * 64}[key]
    path.write_text(json.dumps(manifest))
    before = contents(corpus)
    for options in ([], ["--repair"]):
        refused(["verify", corpus, *options], f"satlab: {path}: damaged (")
    with pytest.raises(InputError, match=r"manifest.json: damaged"):
        write(corpus, format)
    assert contents(corpus) == before


def test_a_damaged_manifest_that_is_removed_as_it_says_is_made_again(whole):
    format, corpus, files = whole
    (corpus / "manifest.json").write_text("{")
    with pytest.raises(InputError, match=r"damaged .* remove it and run the satlab generate command of this corpus"):
        write(corpus, format)
    (corpus / "manifest.json").unlink()
    write(corpus, format)
    assert contents(corpus) == files


def test_spaces_and_what_a_person_adds_are_no_damage(whole):
    _, corpus, _ = whole
    path = corpus / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"notes": "mine"}, sort_keys=True))
    assert open_corpus(corpus).manifest["notes"] == "mine"


def test_a_manifest_of_an_older_version_is_named_and_completed(whole, capsys):
    format, corpus, files = whole
    path = corpus / "manifest.json"
    manifest = json.loads(path.read_text())
    del manifest["manifest_sha256"]
    path.write_text(json.dumps(manifest, indent=1) + "\n")
    assert cli.run(["verify", str(corpus)]) == 0
    error = capsys.readouterr().err
    assert "manifest.json: an older satlab wrote it, without the manifest_sha256" in error
    assert error.count("\n") == 1
    write(corpus, format)
    assert contents(corpus) == files
