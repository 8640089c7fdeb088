"""What `satlab show` takes and finds, and its text: how many samples, numbers as written, columns that stand apart."""

import pytest
from support.words import generator

from satlab.generators import PCFG, load_language
from satlab.lab.describe import show
from satlab.lab.describe import text as show_text

LINEAR = "S -> 'a' S [0.99] | 'b' [0.01]"


@pytest.mark.parametrize(
    ("language", "least", "most"),
    [
        (load_language("demo-hmm"), 10_000, 10_000),
        (load_language("demo-pcfg"), 10_000, 10_000),
        (load_language("liu2022-pcfg"), 10_000, 10_000),
        (load_language("cfg3b"), 100, 1000),
        (PCFG.from_string(LINEAR, 2000), 20, 10_000),
    ],
    ids=["hmm", "demo", "liu2022", "cfg3b", "linear"],
)
def test_default_samples_are_bounded_by_the_cost_of_the_charts(language, least, most):
    number = show.default_samples(language)
    assert least <= number <= most
    if isinstance(language, PCFG) and show.LEAST_SAMPLES < number < show.MOST_SAMPLES:
        assert number * language.chart_work() <= show.MOST_WORK < (number + 1) * language.chart_work()


def test_descriptions_are_pure_functions_of_the_seed():
    language = load_language("demo-hmm")
    sentences = language.sample(20, generator(2))
    assert show.describe(language, "x", sentences, 2, 5) == show.describe(language, "x", sentences, 2, 5)


@pytest.mark.parametrize(
    ("value", "text"), [(None, "infinite"), (1e-17, "0"), (1.0, "1"), (0.123456789, "0.123457"), (-2.5, "-2.5")]
)
def test_numbers(value, text):
    assert show_text.number(value) == text


@pytest.mark.parametrize(
    ("value", "stderr", "text"),
    [(1.02994, 0.00093, "1.02994 +- 0.00093"), (12.3, 1.4, "12.3 +- 1.4"), (250.2, 31.0, "250 +- 31"), (1.0, 0.0, "1")],
)
def test_estimates_have_as_many_digits_as_mean_something(value, stderr, text):
    assert show_text.estimate({"value": value, "stderr": stderr, "n": 5}) == text


def test_columns_stand_apart_by_two_blanks_whatever_is_in_them():
    table = [
        ("task", "classes", "majority class", "Bayes accuracy", "most frequent classes"),
        ("a-task-of-a-long-name", "12,345", "0.1234567890 +- 0.0000000012", "best", "none 0.5, A 0.25"),
        ("b", "3", "1", "better", "A 0.125, " * 30),
    ]
    lines = show_text.aligned(table)
    for line, cells in zip(lines, table, strict=True):
        assert line.split("  ")[0] == cells[0]
        assert [part.strip() for part in line.split("  ") if part][:4] == list(cells[:4])
        assert len(line) <= 118
    assert lines[2].endswith(" ...")
    assert len({line.index(cells[3]) + len(cells[3]) for line, cells in zip(lines, table, strict=True)}) == 1
    assert show_text.row("x" * 50, "y") == "x" * 50 + "  y"
    assert show_text.row("x", "y").index("y") == show_text.LABEL


def test_columns_of_a_chain_and_of_its_tasks():
    """The last column has no two blanks in a row, so the cells of a line can be counted."""
    language = load_language({"family": "random-hmm", "states": 20, "blocks": 10, "words": 40, "length": 12, "seed": 1})
    lines = show_text.as_text(show.describe(language, "x", language.sample(30, generator(1)), 1, 0)).splitlines()
    for head in ("  closed class ", "  task "):
        at = next(i for i, line in enumerate(lines) if line.startswith(head))
        for line in lines[at : at + 4]:
            assert len([part for part in line.split("  ") if part.strip()]) == 5, line
