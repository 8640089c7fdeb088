"""What is damaged or missing in a corpus is found, named, and made again with the same bytes, or left as it is."""

import json
import os
import shutil

import pytest
from support.commands import contents

from satlab.errors import InputError
from satlab.generators import load_language
from satlab.generators.corpus import shard, verify
from satlab.generators.corpus.manifest import open_corpus, signature
from satlab.generators.corpus.writer import write_corpus

FORMATS = ("parquet", "bin")
SENTENCES, SHARD, SHARDS = 45, 10, 5


def write(out, format="parquet"):
    return write_corpus(load_language("demo-hmm"), "demo-hmm", SENTENCES, out, 3, False, format, shard_sentences=SHARD)


@pytest.fixture(params=FORMATS)
def corpus(request, tmp_path):
    list(write(tmp_path / "c", request.param))
    return tmp_path / "c"


def damage(corpus, number, change):
    """Changes the bytes of one shard, wherever they lie; in a file of all shards its length stays."""
    known = open_corpus(corpus)
    path = corpus / known.storage.file(number)
    begin = 0 if path.suffix == ".parquet" else sum(entry["bytes"] for entry in known.shards[:number])
    content, end = path.read_bytes(), begin + known.shards[number]["bytes"]
    path.write_bytes(content[:begin] + change(content[begin:end]) + content[end:])
    return path.name


def flipped(content, at=7):
    return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]


def test_a_whole_corpus_is_whole_and_left_alone(corpus, printed):
    before = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in corpus.iterdir()}
    for options in ([], ["--repair"]):
        assert printed(["verify", corpus, *options]) == ([{"dir": str(corpus), "shards": 5, "damaged": 0}], "")
    assert {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in corpus.iterdir()} == before


@pytest.mark.parametrize("number", [0, 2, 4])
def test_one_flipped_bit_is_found_and_repaired(corpus, printed, number):
    whole = contents(corpus)
    name = damage(corpus, number, flipped)
    damaged = contents(corpus)
    finding = {"file": name, "shard": number, "problem": "damaged"}
    last = {"dir": str(corpus), "shards": 5, "damaged": 1}
    assert printed(["verify", corpus], 1) == ([finding, last], "")
    assert contents(corpus) == damaged
    assert printed(["verify", corpus, "--repair"]) == ([finding, last | {"repaired": 1}], "")
    assert contents(corpus) == whole


def test_a_file_that_would_be_read_with_the_corpus_is_told(corpus, printed):
    name = "shard-00009.parquet" if (corpus / "shard-00000.parquet").exists() else "other.bin"
    (corpus / name).write_bytes(b"more")
    finding = {"file": name, "shard": None, "problem": "unexpected"}
    for options, more in (([], {}), (["--repair"], {"repaired": 0})):
        rows, _ = printed(["verify", corpus, *options], 1)
        assert rows == [finding, {"dir": str(corpus), "shards": 5, "damaged": 1} | more]


def folder_at(path):
    path.unlink()
    path.mkdir()


def pipe_at(path):
    path.unlink()
    os.mkfifo(path)


def link_at(path, target):
    path.unlink()
    path.symlink_to(target)


ODD = {
    "directory": (folder_at, "not a file", "a directory"),
    "pipe": (pipe_at, "not a file", "a pipe"),
    "link into nowhere": (lambda path: link_at(path, "gone/shard"), "missing", "No such file"),
    "link in a circle": (lambda path: link_at(path, path.name), "unreadable", "Too many levels"),
}


@pytest.mark.parametrize("odd", ODD)
def test_what_is_odd_in_one_place_stops_no_other_repair(tmp_path, printed, odd):
    list(write(tmp_path / "c"))
    whole, known = contents(tmp_path / "c"), open_corpus(tmp_path / "c")
    spoil, problem, said = ODD[odd]
    spoil(tmp_path / "c" / "shard-00001.parquet")
    (tmp_path / "c" / "shard-00004.parquet").unlink()
    (tmp_path / "c" / "shard-00009.parquet").write_bytes(b"more")
    names = ("file", "shard", "problem")
    found = [
        dict(zip(names, row, strict=True))
        for row in (
            ("shard-00001.parquet", 1, problem),
            ("shard-00004.parquet", 4, "missing"),
            ("shard-00009.parquet", None, "unexpected"),
        )
    ]
    last = {"dir": str(tmp_path / "c"), "shards": 5, "damaged": 3}
    assert printed(["verify", tmp_path / "c"], 1) == ([*found, last], "")
    rows, error = printed(["verify", tmp_path / "c", "--repair"], 1)
    assert rows == [*found, last | {"repaired": 1}]
    assert error.count("\n") == 1
    assert "shard 1 is left as it is: " in error
    assert said in error
    assert known.problem(4) is None
    assert contents(tmp_path / "c")["shard-00004.parquet"] == whole["shard-00004.parquet"]


@pytest.mark.parametrize("spoil", [folder_at, pipe_at])
def test_a_language_that_is_no_file_is_named(tmp_path, printed, spoil):
    list(write(tmp_path / "c"))
    spoil(tmp_path / "c" / "language.npz")
    rows, error = printed(["verify", tmp_path / "c"], 1)
    assert (rows[0], error) == ({"file": "language.npz", "shard": None, "problem": "not a file"}, "")
    assert "language.npz: not a file, and without it" in printed(["verify", tmp_path / "c", "--repair"], 2)[1]


def test_every_flipped_byte_of_a_shard_is_found(tmp_path):
    list(write(tmp_path / "c"))
    known, path = open_corpus(tmp_path / "c"), tmp_path / "c" / "shard-00001.parquet"
    whole = path.read_bytes()
    for at in range(0, len(whole), 97):
        path.write_bytes(flipped(whole, at))
        assert [finding.shard for finding in verify.examine(known) if finding] == [1]


@pytest.mark.parametrize("lost", [[1], [0, 4], [0, 1, 2, 3, 4]])
def test_missing_shards_are_made_again(tmp_path, printed, lost):
    list(write(tmp_path / "c"))
    whole = contents(tmp_path / "c")
    for number in lost:
        (tmp_path / "c" / f"shard-{number:05d}.parquet").unlink()
    rows, _ = printed(["verify", tmp_path / "c", "--repair"])
    assert [(row["shard"], row["problem"]) for row in rows[:-1]] == [(number, "missing") for number in lost]
    assert contents(tmp_path / "c") == whole


@pytest.mark.parametrize("size", [0, 1, 100])
def test_a_truncated_shard_is_damaged(tmp_path, printed, size):
    list(write(tmp_path / "c"))
    whole = contents(tmp_path / "c")
    os.truncate(tmp_path / "c" / "shard-00003.parquet", size)
    rows, _ = printed(["verify", tmp_path / "c", "--repair"])
    assert rows[0] == {"file": "shard-00003.parquet", "shard": 3, "problem": "damaged"}
    assert contents(tmp_path / "c") == whole


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (lambda content: content[:300], [1, 2, 3, 4]),
        (lambda content: content + b"\x01\x00", [4]),
        (lambda content: b"", [0, 1, 2, 3, 4]),
        (None, [0, 1, 2, 3, 4]),
    ],
)
def test_a_file_of_tokens_that_is_cut_longer_or_gone_is_repaired(tmp_path, printed, change, found):
    list(write(tmp_path / "c", "bin"))
    whole, path = contents(tmp_path / "c"), tmp_path / "c" / "train.bin"
    path.unlink() if change is None else path.write_bytes(change(whole["train.bin"]))
    rows, _ = printed(["verify", tmp_path / "c", "--repair"])
    assert [row["shard"] for row in rows[:-1]] == found
    assert {row["problem"] for row in rows[:-1]} == {"missing" if change is None else "damaged"}
    assert contents(tmp_path / "c") == whole


def test_generating_again_repairs_too(corpus):
    whole, format = contents(corpus), open_corpus(corpus).manifest["format"]
    damage(corpus, 1, flipped)
    damage(corpus, 4, flipped)
    (corpus / "language.npz").unlink()
    assert list(write(corpus, format))[-1] == SENTENCES
    assert contents(corpus) == whole


@pytest.mark.parametrize(("problem", "spoil"), [("missing", None), ("damaged", lambda content: content[:-3])])
def test_a_lost_language_is_named_and_stops_the_repair(corpus, printed, problem, spoil):
    path = corpus / "language.npz"
    content = path.read_bytes()
    path.unlink() if spoil is None else path.write_bytes(spoil(content))
    name = damage(corpus, 2, flipped)
    damaged = contents(corpus)
    rows, error = printed(["verify", corpus], 1)
    assert rows[:2] == [
        {"file": "language.npz", "shard": None, "problem": problem},
        {"file": name, "shard": 2, "problem": "damaged"},
    ]
    assert error == ""
    rows, error = printed(["verify", corpus, "--repair"], 2)
    assert f"language.npz: {problem}, and without it no shard can be made again; restore it" in error
    assert error.count("\n") == 1
    assert contents(corpus) == damaged


def test_a_shard_that_comes_out_otherwise_is_left_as_it_is(corpus, printed, monkeypatch):
    known = open_corpus(corpus)
    entry = known.shards[2]
    manifest = corpus / "manifest.json"
    text = manifest.read_text().replace(entry["sha256"], "0" * 64)
    changed = json.loads(text.replace(f'"torch": "{shard.versions()["torch"]}"', '"torch": "1.2.3"'))
    manifest.write_text(json.dumps(changed | {"manifest_sha256": signature(changed)}))
    before = contents(corpus)
    rows, error = printed(["verify", corpus, "--repair"], 1)
    assert rows[-1] == {"dir": str(corpus), "shards": 5, "damaged": 1, "repaired": 0}
    assert error.count("\n") == 1
    assert "shard 2 is left as it is: made again, it differs from the manifest" in error
    assert f"torch 1.2.3 in the corpus, {shard.versions()['torch']} here" in error
    assert contents(corpus) == before


def test_an_unfinished_corpus_says_how_to_go_on(tmp_path, printed):
    writer = write(tmp_path / "c")
    for _ in range(2):
        next(writer)
    writer.close()
    rows, error = printed(["verify", tmp_path / "c"], 1)
    assert rows == [{"dir": str(tmp_path / "c"), "shards": 5, "damaged": 0}]
    assert "unfinished, 2 of 5 shards are known; run its satlab generate command again" in error
    (tmp_path / "c" / "shard-00001.parquet").unlink()
    rows, _ = printed(["verify", tmp_path / "c", "--repair"], 1)
    assert rows[-1] == {"dir": str(tmp_path / "c"), "shards": 5, "damaged": 1, "repaired": 1}


SPOILT = {
    "no JSON": lambda m: "{",
    "a number": lambda m: "3",
    "a list": lambda m: "[]",
    "nothing": lambda m: "{}",
    "no bytes": lambda m: "\udcff",
    "a shard too few": lambda m: json.dumps(m | {"shards": m["shards"][:-1]}),
    "a shard too many": lambda m: json.dumps(m | {"shards": m["shards"] * 2}),
    "shards that are none": lambda m: json.dumps(m | {"shards": [1] * 5}),
    "rows that do not add up": lambda m: json.dumps(m | {"sentences": 44}),
    "rows of a shard": lambda m: json.dumps(m | {"shards": [m["shards"][0] | {"rows": 9}, *m["shards"][1:]]}),
    "shards of no sentences": lambda m: json.dumps(m | {"shard_sentences": 0}),
    "a file elsewhere": lambda m: json.dumps(m | {"shards": [m["shards"][0] | {"file": "../x"}, *m["shards"][1:]]}),
    "no sentences": lambda m: json.dumps(m | {"sentences": 0, "shards": []}),
    "another format": lambda m: json.dumps(m | {"format": "csv"}),
    "no seed": lambda m: json.dumps({key: value for key, value in m.items() if key != "seed"}),
}


@pytest.mark.parametrize("spoil", SPOILT)
def test_a_damaged_manifest_is_one_line(tmp_path, refused, spoil):
    list(write(tmp_path / "c"))
    path = tmp_path / "c" / "manifest.json"
    path.write_text(SPOILT[spoil](json.loads(path.read_text())), encoding="utf-8", errors="surrogateescape")
    for options in ([], ["--repair"]):
        error = refused(["verify", tmp_path / "c", *options])
        assert error.startswith(f"satlab: {path}: damaged (")
        assert len(error) < 500


def test_what_is_no_corpus_is_one_line(tmp_path, refused):
    for place in (tmp_path, tmp_path / "nowhere"):
        said = f"satlab: {place}: no corpus here, expected a directory made by satlab generate; check the path\n"
        assert refused(["verify", place]) == said


def test_repairing_waits_for_no_other_writer(corpus, monkeypatch):
    monkeypatch.setattr("satlab.system.disk.PATIENCE", 0.0)
    known = open_corpus(corpus)
    format = known.manifest["format"]
    damage(corpus, 0, flipped)
    writer = write(corpus, format)
    next(writer)
    with pytest.raises(InputError, match="another process is writing here"):
        list(verify.repair(known, [0]))
    writer.close()


def test_repairing_reads_the_manifest_once_no_other_process_writes(corpus):
    """Were it the one read before, the file of all shards would be cut off after the last that it knew."""
    format, whole = open_corpus(corpus).manifest["format"], contents(corpus)
    shutil.rmtree(corpus)
    writer = write(corpus, format)
    next(writer)
    next(writer)
    writer.close()
    known = open_corpus(corpus)
    assert not known.manifest["complete"]
    list(write(corpus, format))
    damage(corpus, 1, flipped)
    assert list(verify.repair(known, [1, 99])) == [(1, None)]
    assert contents(corpus) == whole


def test_the_bytes_of_a_shard_are_checked_where_the_manifest_is_not(tmp_path, printed):
    """As an older satlab wrote it; what is repaired is the manifest."""
    list(write(tmp_path / "c"))
    whole, path = contents(tmp_path / "c"), tmp_path / "c" / "manifest.json"
    manifest = json.loads(whole["manifest.json"])
    del manifest["manifest_sha256"]
    manifest["shards"][3]["bytes"] += 1
    path.write_text(json.dumps(manifest))
    rows, error = printed(["verify", tmp_path / "c", "--repair"])
    assert rows[0] == {"file": "shard-00003.parquet", "shard": 3, "problem": "damaged"}
    assert error.count("\n") == 1
    assert contents(tmp_path / "c") == whole
