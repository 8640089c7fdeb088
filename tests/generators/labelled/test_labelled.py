"""Labelled texts from TSV, CSV and Parquet files in the forms in which SST, AG News and QNLI are handed around."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from satlab.errors import InputError
from satlab.generators.labelled.texts import read_labelled


@pytest.fixture
def write(tmp_path):
    def make(name, content):
        path = tmp_path / name
        if isinstance(content, dict):
            pq.write_table(pa.table(content), path)
        else:
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return make


TEXTS = ("a good film", "a bad one", "fine", "dull")

FORMS = {
    "GLUE's SST-2": ("x.tsv", "sentence\tlabel\na good film\t1\na bad one \t0\nfine\t1\ndull\t0\n"),
    "SentEval's SST": ("x.tsv", "a good film\t1\na bad one\t0\nfine\t1\n\ndull\t0\n"),
    "label first": ("x.csv", '"1","a good film"\n0,a bad one\r\n1,fine\n0,dull\n'),
    "byte order mark": ("x.csv", b"\xef\xbb\xbftext,label\na good film,1\na bad one,0\nfine,1\ndull,0\n"),
    "Parquet": ("x.parquet", {"sentence": TEXTS, "label": [1, 0, 1, 0], "idx": [0, 1, 2, 3]}),
    "Parquet, texts as labels": ("x.parquet", {"text": TEXTS, "label": ["1", "0", "1", "0"]}),
    "Parquet, truth values": ("x.parquet", {"text": TEXTS, "label": [True, False, True, False]}),
}


@pytest.mark.parametrize("form", FORMS)
def test_the_forms_of_sst(form, write):
    found = read_labelled(write(*FORMS[form]))
    assert found.texts == TEXTS
    assert found.labels == (1, 0, 1, 0)
    assert found.classes in (("0", "1"), ("False", "True"))
    assert len(found.sha256) == 64


def test_ag_news_without_names_joins_title_and_description(write):
    labels = (3, 10, 3, 10, 1, 1)
    lines = [f'"{label}","Title {row}","One, ""two"" {row}"\n' for row, label in enumerate(labels)]
    found = read_labelled(write("ag.csv", "".join(lines)))
    assert found.texts[:2] == ('Title 0 One, "two" 0', 'Title 1 One, "two" 1')
    assert (found.classes, found.labels) == (("1", "3", "10"), (1, 2, 1, 2, 0, 0))


def test_qnli_joins_question_and_sentence_and_keeps_quotation_marks(write):
    rows = 'index\tquestion\tsentence\tlabel\n0\tWho?\tHe said "no\tentailment\n1\tWhy?\tSo\tnot_entailment\n'
    rows += "2\tWho?\tShe\tentailment\n3\tWhere?\tHere\tnot_entailment\n"
    found = read_labelled(write("dev.tsv", rows))
    assert found.texts[0] == 'Who? He said "no'
    assert (found.classes, found.labels) == (("entailment", "not_entailment"), (0, 1, 0, 1))


def test_columns_by_name_and_number(write):
    path = write("x.csv", "stars,title,body\n1,one,a\n2,two,b\n1,three,c\n2,four,d\n")
    assert read_labelled(path, label="stars", columns="body").texts == ("a", "b", "c", "d")
    assert read_labelled(path, label="stars", columns="3, 2").texts[0] == "a one"
    bare = write("y.csv", "1,one,a\n2,two,b\n1,three,c\n2,four,d\n")
    assert read_labelled(bare, label="1", columns="2").texts == ("one", "two", "three", "four")


def test_a_test_file_takes_the_classes_of_the_other(write):
    path = write("x.tsv", "text\tlabel\na\t2\nb\t2\n")
    assert read_labelled(path, classes=("1", "2", "3")).labels == (1, 1)
    with pytest.raises(InputError, match=r"x.tsv, line 2: label '2', expected one of 0, 1"):
        read_labelled(path, classes=("0", "1"))


BAD = {
    "suffix": ("x.txt", "a\t1\n", r"expected a .tsv, .csv or .parquet file"),
    "empty": ("x.tsv", "", "holds no row"),
    "names alone": ("x.tsv", "text\tlabel\n", "holds only the names of the columns"),
    "cells": ("x.tsv", "text\tlabel\na\t1\nb\n", r"line 3: 1 cells, expected 2"),
    "no text": ("x.tsv", "text\tlabel\na\t1\n \t0\n", r"line 3: has no text"),
    "no label": ("x.tsv", "text\tlabel\na\t1\nb\t\n", r"line 3: has no label"),
    "secret": ("x.tsv", "text\tlabel\na\t-1\nb\t-1\n", r"line 2: has no label"),
    "one class": ("x.tsv", "text\tlabel\na\t1\nb\t1\n", "every label is '1', expected two classes"),
    "one text": ("x.tsv", "text\tlabel\na\t1\nb\t1\nc\t0\n", "one text has the label '0', expected at least 2"),
    "which label": ("x.tsv", "a\t1\nb\t2\n", "cannot tell which of the 2 columns holds the labels"),
    "which text": ("x.tsv", "one\ttwo\tlabel\na\tb\t1\nc\td\t0\n", "cannot tell which columns hold the text"),
    "encoding": ("x.tsv", b"text\tlabel\n\xff\t1\n", "not UTF-8 text"),
    "quotes": ("x.csv", 'text,label\n"a,1\n', "not a row of a CSV file"),
    "Parquet": ("x.parquet", "text", "not a Parquet file"),
    "no column": ("x.parquet", {"text": ["a", "b"], "score": [0.5, 1.0]}, "no column is called label"),
    "null": ("x.parquet", {"text": ["a", None], "label": [1, 0]}, "row 2: has no text"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_is_wrong_is_named_with_its_place(case, write):
    name, content, message = BAD[case]
    with pytest.raises(InputError, match=message) as caught:
        read_labelled(write(name, content))
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


def test_wrong_columns_are_named(write):
    path = write("x.csv", "stars,title\n1,a\n2,b\n1,c\n2,d\n")
    for label, columns, message in (
        ("star", None, "no column 'star', expected a number"),
        ("stars", "titel", "unknown column 'titel': did you mean 'title'"),
        ("stars", "stars", "texts and label are the same column"),
        ("stars", "9", "unknown column '9'"),
    ):
        with pytest.raises(InputError, match=message):
            read_labelled(path, label=label, columns=columns)
    with pytest.raises(InputError, match="no such file"):
        read_labelled(path.with_name("no.csv"))
