"""Other readers: pyarrow, pandas and Hugging Face datasets read the Parquet files, nanoGPT-like trainers train.bin."""

import json

import numpy as np
import pyarrow.dataset
import pyarrow.parquet as pq
import pytest
import torch

from satlab.errors import InputError
from satlab.generators import Sentences, load_language
from satlab.generators.corpus.writer import write_corpus
from satlab.randomness import random_stream

GRAMMAR = "S -> 'a' S 'b' [0.3] | T [0.7]\nT -> 'c' T [0.4] | 'd' [0.6]\n"
LANGUAGES = {"hmm": "demo-hmm", "pcfg": {"family": "pcfg", "grammar": GRAMMAR, "max_length": 7}}
SENTENCES, SHARD = 45, 20


@pytest.fixture(params=list(LANGUAGES))
def language(request):
    return load_language(LANGUAGES[request.param])


def write(language, out, format="parquet", truth=True):
    list(write_corpus(language, "mine", SENTENCES, out, 3, truth, format, shard_sentences=SHARD))
    return sorted(str(path) for path in out.glob("*.parquet"))


def rows_of(files):
    return [row for file in files for row in pq.read_table(file).to_pylist()]


def plain(row):
    """A row as lists and numbers, whatever arrays a reader makes of them."""
    return {name: json.loads(json.dumps(value, default=lambda array: array.tolist())) for name, value in row.items()}


def test_pyarrow_datasets(language, tmp_path):
    files = write(language, tmp_path / "c")
    for source, options in ((files, {}), (tmp_path / "c", {"exclude_invalid_files": True})):
        table = pyarrow.dataset.dataset(source, format="parquet", **options).to_table()
        assert table.num_rows == SENTENCES
        assert sorted(map(json.dumps, table.to_pylist())) == sorted(map(json.dumps, rows_of(files)))


def test_pandas(language, tmp_path):
    pandas = pytest.importorskip("pandas")
    files = write(language, tmp_path / "c")
    assert [plain(row) for row in pandas.read_parquet(files).to_dict("records")] == rows_of(files)


def test_hugging_face_datasets(language, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    datasets = pytest.importorskip("datasets")
    files = write(language, tmp_path / "c")
    found = datasets.load_dataset("parquet", data_files=files, split="train", cache_dir=str(tmp_path / "cache"))
    assert list(found) == rows_of(files)


def test_types(language, tmp_path):
    (file, *_) = write(language, tmp_path / "c")
    schema = pq.read_schema(file)
    types = {name: str(schema.field(name).type) for name in schema.names}
    assert types.pop("truth") == f"fixed_size_list<element: double>[{language.vocab_size}]"
    assert types.pop("tokens") == "list<element: int16>"
    assert types.pop("nodes", None) in (None, "list<element: fixed_size_list<element: int32>[3]>")
    assert types.pop("states", None) in (None, "list<element: int32>")
    assert set(types.values()) == {"int16"}


def test_latent_variables_are_those_that_made_the_sentences(language, tmp_path):
    """Padding is left out: what remains is the sample of the shard's own random stream."""
    for number, file in enumerate(write(language, tmp_path / "c")):
        rows = pq.read_table(file).to_pylist()
        sentences = language.sample(len(rows), random_stream(3, "corpus", number))
        assert set(sentences.latents) == {"states" if language.suffix == ".npz" else "nodes"}
        for name, latent in sentences.latents.items():
            padded = [[entry for entry in row if np.ravel(entry)[0] >= 0] for row in latent.tolist()]
            assert [row[name] for row in rows] == padded
        for name, task in language.tasks.items():
            assert [row[f"label_{name}"] for row in rows] == task.labels(sentences).tolist()


def test_a_tree_can_be_read_off_its_nodes(tmp_path):
    language = load_language(LANGUAGES["pcfg"])
    for row in rows_of(write(language, tmp_path / "c")):
        assert row["nodes"][0] == [0, row["length"], 0]
        assert {start for start, width, _ in row["nodes"] if width == 1} == set(range(row["length"]))
        label = language.tasks["tree-A"].labels(
            Sentences(
                torch.zeros(1, 7, dtype=torch.int64),
                torch.tensor([row["length"]]),
                {"nodes": torch.tensor([row["nodes"]])},
            )
        )
        assert int(label[0]) == row["label_tree-A"]


def test_nanogpt_reads_the_same_sentences(language, tmp_path):
    files = write(language, tmp_path / "c")
    write(language, tmp_path / "b", "bin", truth=False)
    assert sorted(p.name for p in (tmp_path / "b").iterdir()) == [
        f"language{language.suffix}",
        "manifest.json",
        "train.bin",
    ]
    data = np.memmap(tmp_path / "b" / "train.bin", dtype=np.uint16, mode="r")
    described = json.loads((tmp_path / "b" / "manifest.json").read_text())["tokens"]
    end = described["end"]
    assert described == {"dtype": "uint16", "byte_order": "little", "end": language.vocab_size, "vocab_size": end + 1}
    sentences = np.split(data, np.flatnonzero(data == end) + 1)
    assert sentences.pop().size == 0
    assert [sentence.tolist() for sentence in sentences] == [[*row["tokens"], end] for row in rows_of(files)]


class ManyWords:
    """demo-hmm, as far as a corpus asks, with so many words."""

    def __init__(self, vocab_size):
        self.language, self.vocab_size = load_language("demo-hmm"), vocab_size

    def __getattr__(self, name):
        return getattr(self.language, name)


def test_words_beyond_16_bits_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"has 65536 words, expected at most 65535; use format parquet"):
        write(ManyWords(65_536), tmp_path / "c", "bin", truth=False)
    assert not (tmp_path / "c").exists()
    write(ManyWords(65_535), tmp_path / "c", "bin", truth=False)


def test_shards_of_large_rows_have_fewer_of_them(tmp_path, monkeypatch):
    language = load_language("demo-hmm")
    for truth, rows in ((False, 12), (True, 5)):
        monkeypatch.setattr("satlab.generators.corpus.writer.SHARD_NUMBERS", 100)
        list(write_corpus(language, "mine", 24, tmp_path / str(truth), 0, truth))
        first = json.loads((tmp_path / str(truth) / "manifest.json").read_text())["shards"][0]
        assert first["rows"] == rows
