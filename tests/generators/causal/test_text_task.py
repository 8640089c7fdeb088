"""Labels of real text in the words of a causal network's language, and a probe of them."""

import pytest
import torch
from support.hugging_face import WORDS, labelled_rows, write_network, write_tsv
from support.words import generator

from satlab.errors import InputError
from satlab.generators import load_language
from satlab.generators.tasks import find_task
from satlab.lab.cli import main as cli

transformers = pytest.importorskip("transformers")

LENGTH = 5


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_network(tmp_path_factory.mktemp("network") / "opt", "opt")


ALL = len(WORDS)


def language_of(folder, count=ALL):
    """The language of the first words; what follows in WORDS is outside it."""
    return load_language({"family": "causal", "model": str(folder), "words": count, "length": LENGTH})


@pytest.fixture
def texts(tmp_path):
    return write_tsv(tmp_path / "texts.tsv", 24)


def as_words(language, sentences):
    return [language.decode(sentences[row : row + 1])[0] for row in range(len(sentences.lengths))]


def test_each_text_once_with_its_label(folder, texts):
    language = language_of(folder)
    task = find_task(language, f"text:file={texts}")
    sentences = task.inputs(language, 24, generator())
    cut = {(" ".join(text.split()[:LENGTH]), label) for text, label in labelled_rows(24)}
    assert set(zip(as_words(language, sentences), task.labels(sentences).tolist(), strict=True)) == cut
    assert torch.equal(task.inputs(language, 24, generator()).tokens, sentences.tokens)
    assert (task.classes, task.own_inputs) == (("0", "1"), True)
    with pytest.raises(InputError, match="has 24 texts, expected at least 25 for training and test"):
        task.inputs(language, 25, generator())
    assert "text" not in language.tasks


def test_words_outside_are_refused_left_out_or_mapped(folder, texts):
    language = language_of(folder, WORDS.index("great"))
    with pytest.raises(InputError, match=r"texts.tsv: 'bad' in 'the film was bad.*outside=drop.*outside=map:WORD"):
        find_task(language, f"text:file={texts}")
    dropped = find_task(language, f"text:file={texts},outside=drop")
    mapped = find_task(language, f"text:file={texts},outside=map:good")
    known = WORDS[: WORDS.index("great")]
    for task, instead in ((dropped, []), (mapped, ["good"])):
        found = as_words(language, task.inputs(language, 24, generator()))
        expected = [
            " ".join([w for word in text.split() for w in ([word] if word in known else instead)][:LENGTH])
            for text, _ in labelled_rows(24)
        ]
        assert sorted(found) == sorted(expected)
    for outside, message in (("map:goo", "unknown word 'goo': did you mean 'good'"), ("keep", "outside is 'keep'")):
        with pytest.raises(InputError, match=message):
            find_task(language, f"text:file={texts},outside={outside}")


def test_texts_without_a_word_are_left_out_and_said(folder, tmp_path):
    path = tmp_path / "x.tsv"
    path.write_text("question\tsentence\tlabel\nis\tit\t0\nthe\tfilm\t1\nthe\tfilm\t0\nthe\tfilm\t1\n")
    with pytest.warns(UserWarning, match="1 texts have no word of the language; they are left out"):
        task = find_task(language_of(folder, 2), f"text:file={path},outside=drop")
    assert len(task.rows) == 3
    bayes = task.bayes_accuracy(1, generator())
    assert (bayes.value, bayes.stderr, bayes.n) == (2 / 3, 0.0, 3)


def test_a_probe_of_a_trained_model(folder, texts, tmp_path, monkeypatch, printed):
    language_of(folder).save(str(tmp_path / "language"))
    small = ["--steps", "1", "--batch_size", "4", "--evaluation_sentences", "4", "--model", "bert-1x8"]
    monkeypatch.chdir(tmp_path)
    assert cli.run(["train", "language.yaml", "--out", "run", *small]) == 0
    line = "probe run --task text:file=texts.tsv,outside=drop --train_sentences 16 --test_sentences 8 --seeds 2"
    rows, _ = printed(line)
    assert [row["method"] for row in rows][:3] == ["majority", "lookup", "bayes"]
    assert all(0 <= row["value"] <= 1 for row in rows if row["method"] != "lookup")
    assert printed(line)[0] == rows
