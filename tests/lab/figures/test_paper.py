"""What figures and tables in a paper's form say of their numbers: bars, n, versions, published numbers beside."""

import csv

import matplotlib.pyplot as plt
import pytest
from support.published_rows import MODELS, TASKS, entry, measured, with_adamw

from satlab.lab.analysis.model_table import wide_rows
from satlab.lab.analysis.published import compare, read_published
from satlab.lab.figures import paper
from satlab.lab.figures.paper import FORMS, draw_forms


@pytest.fixture
def said(monkeypatch):
    """What stands below each figure that is drawn."""
    found = []
    monkeypatch.setattr(paper, "write_below", lambda figure, lines: found.append(lines))
    yield found
    plt.close("all")


@pytest.mark.parametrize("form", [form for form in FORMS if form != "table"])
def test_a_figure_says_what_its_bars_are_over_how_many_trainings_and_by_which_versions(tmp_path, said, form):
    runs, rows = measured(tmp_path)
    FORMS[form](wide_rows(runs, rows), rows, TASKS)
    assert "Bars: one standard error over n = 2 trainings and of the measurement, which they share." in said[-1]
    assert not any("different versions" in line for line in said[-1])
    rows = [row | {"satlab": "0.0.9" if row["what"] == "probe" else "0.1.0"} for row in rows if row["run"]]
    single = [row for row in rows if row["seed"] == 0]
    _, numbers = FORMS[form](wide_rows(runs[::2], single), single, TASKS)
    assert any("measured by different versions of satlab" in line for line in said[-1])
    assert "Bars: one standard error of the measurement, within one training (n = 1 training)." in said[-1]
    assert {row["trainings"] for row in numbers} == {1}
    assert {row["satlab"] for row in numbers} <= {"0.0.9", "0.1.0"}


def test_ticks_of_narrow_panels_are_few(tmp_path, said):
    runs, rows = measured(tmp_path)
    figure, _ = FORMS["enlarged"](wide_rows(runs, rows), rows, TASKS)
    figure.canvas.draw()
    for axes in figure.axes:
        low, high = axes.get_xlim()
        assert len([tick for tick in axes.get_xticks() if low <= tick <= high]) <= 4


def test_the_table_has_the_published_numbers_beside_ours(tmp_path):
    runs, rows = measured(tmp_path)
    rows = with_adamw(rows)
    wide = wide_rows(runs, rows)
    items = [entry(stderr=0.02), entry(model="lookup", value=0.712), entry(minus="spoilt", value=0.1)]
    items.append(entry(quantity="loss", task=None, value=3.2))
    found = compare(read_published(items, MODELS, TASKS), wide, rows)
    draw_forms(["table"], wide, rows, TASKS, tmp_path, found)
    lines = (tmp_path / "paper-table.md").read_text().splitlines()
    plain = [cell.strip() for cell in lines[2].split("|")]
    assert plain[1:5] == [
        "plain",
        "2.507 +- 0.0041 (n = 2); published 3.2",
        "0.0075 +- 0.001 (n = 2)",
        "0.905 +- 0.0051 (n = 2)",
    ]
    assert plain[5] == "0.605 +- 0.0051 (n = 2); published 0.9 +- 0.02"
    assert lines[6].startswith(
        "+-: one standard error over n = 2 trainings and of the measurement, which they share. The"
    )
    assert "| 0.4 +- 0.01 (n = 3); published 0.712 |" in lines[4]
    assert "accuracy A, plain minus spoilt: 0.2 +- 0.0071 (n = 2); published 0.1 (Table 1).  " in lines
    numbers = list(csv.DictReader((tmp_path / "paper-table.csv").open()))
    assert [row["published"] for row in numbers if row["quantity"] == "accuracy A linear-adamw"] == ["0.9", "", "0.712"]


def test_names_are_shown_as_they_are(tmp_path):
    runs, rows = measured(tmp_path)
    wide = [row | {"name": {"plain": "_a$b$^", "spoilt": "$x_{"}[row["name"]]} for row in wide_rows(runs, rows)]
    written = draw_forms(list(FORMS), wide, rows, ["A"], tmp_path / "out")
    assert len(written) == 3 * (len(FORMS) - 1) + 2  # PNG, PDF and CSV; a table has two files
    figure, _ = FORMS["training"](wide, rows, ["A"])
    assert "\u200b_a\\$b\\$^" in [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    plt.close("all")
