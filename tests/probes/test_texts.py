"""What small random GPT-2 and OPT say about labelled texts, against plain passes over one text at a time."""

import json
import shutil
import socket

import pytest
import safetensors.torch
import torch
from sklearn.linear_model import LogisticRegression
from support.commands import contents
from support.hugging_face import labelled_rows, write_network, write_tsv
from support.killed import forks, killed_at

from satlab.errors import InputError
from satlab.generators.labelled.texts import read_labelled
from satlab.lab.measurements.text_config import TextConfig
from satlab.lab.measurements.texts import TextProbes
from satlab.probes.feature_store import FeatureStorage
from satlab.probes.texts.reader import TextReader
from satlab.probes.texts.representations import NAMES, Head

transformers = pytest.importorskip("transformers")

TEXTS = [text for text, _ in labelled_rows(13)]


@pytest.fixture(scope="module", params=["gpt2", "opt"])
def folder(request, tmp_path_factory):
    return write_network(tmp_path_factory.mktemp("networks") / request.param, request.param)


@pytest.fixture(scope="module")
def reader(folder):
    return TextReader(folder)


@pytest.fixture
def offline(monkeypatch):
    """No connection is made."""

    def refuse(*_):
        raise AssertionError("a connection was asked for")

    monkeypatch.setattr(socket.socket, "connect", refuse)


def one_at_a_time(folder, ids):
    """(the state that the output layer reads, the logits) of the last token of each text, by the whole network."""
    network = transformers.AutoModelForCausalLM.from_pretrained(folder, local_files_only=True).eval()
    seen, logits = [], []
    network.get_output_embeddings().register_forward_pre_hook(lambda _, given: seen.append(given[0][0, -1]))
    with torch.no_grad():
        for row in ids:
            logits.append(network(torch.tensor([row])).logits[0, -1])
    return torch.stack(seen), torch.stack(logits)


def test_features_are_what_the_output_layer_reads(folder, reader, offline):
    for prompt in (None, "it was"):
        ids = reader.encode(TEXTS, prompt)
        f, logits = one_at_a_time(folder, ids)
        for batch_size in (1, 4, 50):
            torch.testing.assert_close(reader.features(ids, batch_size), f, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(reader.features(ids) @ reader.phi + reader.bias, logits, rtol=1e-4, atol=1e-4)


def test_tokens_begin_as_the_tokenizer_says_and_are_cut_before_the_prompt(folder, reader):
    ids = reader.encode(["the film was good", "the " * 100], "it was")
    begins = [0] if folder.name == "opt" else []
    assert reader.begin == begins
    assert ids[0] == begins + reader.tokenizer("the film was good it was", add_special_tokens=False)["input_ids"]
    assert len(ids[1]) == reader.longest == 24
    assert ids[1][-2:] == ids[0][-2:]
    assert TextReader(folder, longest=5).encode(["the " * 100])[0] == (begins + ids[1][len(begins) :])[:5]
    assert reader.encode([""])[0] == [0]
    with pytest.raises(InputError, match="prompt has 40 tokens, expected fewer than the 24"):
        reader.encode(["the"], "is " * 40)


def test_representations_against_their_formulas(reader):
    f = reader.features(reader.encode(TEXTS)).double()
    head = Head(reader.phi.double(), reader.bias.double())
    labels = torch.tensor([label for _, label in labelled_rows(13)])
    logits = f @ head.phi + head.bias
    p = logits.softmax(1)
    words = head.class_words(f, labels, 2, 2)
    ratio = (p[labels == 1].mean(0) / p[labels == 0].mean(0)).log().abs()
    assert set(words.tolist()) == set(ratio.topk(4).indices.tolist())
    subset = torch.tensor([1, 5, 7])
    expected = f, p @ head.phi.T, p, logits[:, subset], logits[:, words]
    for storage in (FeatureStorage(), FeatureStorage(in_memory=10)):
        found = head.representations(f, subset, words, storage)
        assert tuple(found) == NAMES
        for store, values in zip(found.values(), expected, strict=True):
            (_, part), *more = store.in_order()
            torch.testing.assert_close(part.double(), values, rtol=1e-5, atol=1e-6)
            assert more == []


def test_parts_equal_the_whole(reader, monkeypatch):
    f = reader.features(reader.encode(TEXTS))
    labels = torch.tensor([label for _, label in labelled_rows(13)])
    head = Head(reader.phi, reader.bias)
    whole = head.class_means(f, labels, 2)
    monkeypatch.setattr("satlab.probes.texts.representations.AT_ONCE", 2 * head.phi.shape[1])
    assert [rows.start for rows, _ in head.parts(f)] == list(range(0, 13, 2))
    torch.testing.assert_close(head.class_means(f, labels, 2), whole, rtol=1e-6, atol=1e-9)


def test_words_are_single_tokens(reader):
    ids = reader.words("good bad good", "subset")
    assert reader.spelled(ids) == ["good", "bad"]
    for text, message in ((" ", "expected words separated by spaces"), ("\udcff", "expected characters of UTF-8")):
        with pytest.raises(InputError, match=message):
            reader.words(text, "subset")


def probes_of(reader, tmp_path, out="out", test=None, **settings):
    train = read_labelled(write_tsv(tmp_path / "texts.tsv", 40))
    settings = {"l2": 1e-2, "prompt": "it was"} | settings
    return TextProbes(reader, train, test, TextConfig(**settings), tmp_path / out, FeatureStorage())


def rows_of(probes):
    probes.out.mkdir(exist_ok=True)
    rows = list(probes.rows())
    return [{name: value for name, value in row.items() if name not in ("seconds", "satlab")} for row in rows]


def test_rows_of_each_representation_with_and_without_prompt(reader, tmp_path):
    test = read_labelled(write_tsv(tmp_path / "test.tsv", 30))
    rows = rows_of(probes_of(reader, tmp_path, test=test))
    named = [(row.get("representation"), row.get("prompt")) for row in rows[::2]]
    assert named == [(None, None), *((name, prompt) for prompt in (None, "it was") for name in NAMES)]
    assert {row["quantity"] for row in rows} == {"accuracy", "cross-entropy"}
    assert all(row["n"] == 30 and row["stderr"] >= 0 and row["train_texts"] == 40 for row in rows)
    assert rows[0]["value"] == 0.5
    (row,) = [row for row in rows if (row.get("representation"), row["quantity"]) == ("features", "accuracy")][:1]
    x, y = (reader.features(reader.encode([text for text, _ in labelled_rows(count)])) for count in (40, 30))
    mean, scale = x.mean(0), x.std(0, correction=0)
    labels = [label for _, label in labelled_rows(40)]
    # C = 2 / (l2 n): two rows of weights w / 2 and -w / 2 have half the norm of one row w.
    plain = LogisticRegression(C=2 / (1e-2 * 40), tol=1e-10, max_iter=10_000).fit(((x - mean) / scale).numpy(), labels)
    right = plain.predict(((y - mean) / scale).numpy()) == labels[:30]
    assert row["value"] == pytest.approx(right.mean())
    assert row["stderr"] == pytest.approx((right.var(ddof=1) / 30) ** 0.5)


def test_held_out_texts_of_each_class_and_words_of_ones_own(reader, tmp_path):
    rows = rows_of(probes_of(reader, tmp_path, prompt=None, class_words="good bad", subset="fine dull the"))
    assert {(row["n"], row["train_texts"]) for row in rows} == {(8, 32)}
    words = {row["representation"]: row["words"] for row in rows if "words" in row}
    assert words == {"subset": ["the", "fine", "dull"], "class-words": ["good", "bad"]}
    found = safetensors.torch.load_file(tmp_path / "out" / "representations-plain.safetensors")
    assert found["test.labels"].bincount().tolist() == [4, 4]
    torch.testing.assert_close(
        found["train.class-words"], found["train.features"] @ reader.phi[:, found["words.class_words"]]
    )


def test_interrupted_work_goes_on_with_the_same_bits(reader, tmp_path, monkeypatch):
    monkeypatch.setattr("satlab.lab.measurements.texts.SHARD", 16)
    whole = rows_of(probes_of(reader, tmp_path))
    cut, read = probes_of(reader, tmp_path, out="cut"), []

    def stops(ids, batch_size):
        read.append(len(ids))
        if len(read) == 3:
            raise KeyboardInterrupt
        return TextReader.features(reader, ids, batch_size)

    monkeypatch.setattr(reader, "features", stops)
    with pytest.raises(KeyboardInterrupt):
        rows_of(cut)
    monkeypatch.setattr(reader, "features", lambda ids, size: read.append(len(ids)) or TextReader.features(reader, ids))
    assert rows_of(probes_of(reader, tmp_path, out="cut")) == whole
    assert read == [16, 16, 8, 8, 16, 16, 8]
    for path in sorted((tmp_path / "out").rglob("*.safetensors")):
        other = tmp_path / "cut" / path.relative_to(tmp_path / "out")
        assert other.read_bytes() == path.read_bytes()
    assert rows_of(probes_of(reader, tmp_path, out="cut")) == whole
    assert len(read) == 7
    damaged = next((tmp_path / "cut" / "features").rglob("00000.safetensors"))
    before = damaged.read_bytes()
    damaged.write_bytes(b"mine")
    with pytest.warns(UserWarning, match=r"00000.safetensors: damaged; its 16 texts are read again"):
        assert rows_of(probes_of(reader, tmp_path, out="cut")) == whole
    assert damaged.read_bytes() == before


@forks
@pytest.mark.slow
def test_a_kill_before_any_write_leaves_what_the_same_call_goes_on_with(reader, tmp_path, monkeypatch):
    monkeypatch.setattr("satlab.lab.measurements.texts.SHARD", 16)
    given = {"words_each": 1, "prompt": None}
    whole, files = rows_of(probes_of(reader, tmp_path, **given)), contents(tmp_path / "out")
    steps, killed = 0, True
    while killed:
        killed = killed_at(steps, lambda: rows_of(probes_of(reader, tmp_path, out="cut", **given)))
        steps += 1
        assert rows_of(probes_of(reader, tmp_path, out="cut", **given)) == whole, steps
        found = contents(tmp_path / "cut")
        assert found.keys() == files.keys()
        assert all(found[name] == files[name] for name in files if str(name).endswith(".safetensors"))
        shutil.rmtree(tmp_path / "cut")
    assert steps > 3


def test_what_is_missing_is_named(folder, tmp_path, monkeypatch):
    with pytest.raises(InputError, match=r"nowhere: no such directory, expected a directory that holds config.json"):
        TextReader(tmp_path / "nowhere")
    bare = write_network(tmp_path / "bare", tokenizer=False)
    with pytest.raises(InputError, match=r"has no tokenizer, expected one of tokenizer\.json"):
        TextReader(bare)
    (bare / "model.safetensors").unlink()
    torch.save({}, bare / "pytorch_model.bin")
    with pytest.raises(InputError, match=r"holds no \*.safetensors"):
        TextReader(bare)
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="taken holds something else, expected a new or empty directory"):
        probes_of(TextReader(folder), tmp_path, out="taken")
    for changes, message in (
        ({"held_out": 1.0}, "held_out is 1.0"),
        ({"l2": -1.0}, "l2 is -1.0"),
        ({"prompt": " "}, "prompt is blank"),
        ({"words_each": 0}, "words_each is 0"),
        ({"words_each": 2, "class_words": "good"}, "words_each is 2 beside class_words"),
    ):
        with pytest.raises(InputError, match=message):
            TextConfig(**changes)


def test_the_command_prints_json_alone_and_does_nothing_twice(printed, tmp_path, offline):
    write_network(tmp_path / "network")
    write_tsv(tmp_path / "texts.tsv", 12)
    line = "features --hf network --texts texts.tsv --out out --l2 0.01"
    rows, err = printed(line)
    assert [row["value"] for row in rows if row["quantity"] == "accuracy"] != []
    assert err.splitlines() == ["satlab: results are in out/probes.jsonl"]
    before = (tmp_path / "out" / "probes.jsonl").read_bytes()
    assert printed(line)[0] == rows
    assert (tmp_path / "out" / "probes.jsonl").read_bytes() == before
    assert json.loads(before.splitlines()[0])["method"] == "majority"


def test_bad_input_writes_nothing(refused, tmp_path):
    write_network(tmp_path / "network")
    write_tsv(tmp_path / "texts.tsv", 12)
    start = "features --hf network --texts texts.tsv --out out"
    refused(start.replace("texts.tsv", "nowhere.tsv"), "nowhere.tsv: no such file")
    refused(start.replace("--hf network", "--hf nowhere"), "nowhere: no such directory")
    refused(f"{start} --class_words xyzzy,", "'xyzzy,' is no single token")
    refused(f"{start} --label star", "unknown column 'star'")
    refused(f"{start} --held_out 0", "held_out is 0")
