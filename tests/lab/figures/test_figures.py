"""Figures from recorded numbers alone: each has its numbers in a CSV; gaps in the record are no obstacle."""

import csv
import itertools
import json
import math
from dataclasses import replace

import matplotlib.image
import pytest
from support.hints import without_hint
from support.recorded import CONFIG, STEPS, make_run, result, results, write_lines

from satlab.errors import InputError
from satlab.lab.cli import main as cli
from satlab.lab.figures import draw as figures
from satlab.lab.runs.run import create_run

pytestmark = pytest.mark.usefixtures("no_model")


@pytest.fixture
def unsaved(monkeypatch):
    """Figures are made and not saved, which takes most of the time: what is looked at are their numbers."""
    monkeypatch.setattr(figures, "save_figure", lambda figure, place: figures.plt.close(figure) or [])


def test_hollow_marks_lie_above_the_line_that_joins_them(tmp_path, monkeypatch):
    kept = {}
    monkeypatch.setattr(figures, "save_figure", lambda figure, place: kept.update({place.name: figure}) or [])
    make_run(tmp_path / "r")
    figures.draw([tmp_path / "r"], tmp_path / "out")
    lines = kept["probe_vs_step-state-4"].axes[0].get_lines()
    hollow = [line for line in lines if line.get_markerfacecolor() == "white"]
    assert hollow
    assert min(line.get_zorder() for line in hollow) > max(
        line.get_zorder() for line in lines if len(line.get_xdata()) > 1
    )
    for figure in kept.values():
        figures.plt.close(figure)


def table(path):
    with path.open() as file:
        return list(csv.DictReader(file))


def drawn(folder):
    """Names of the figures, each checked to be a PNG that can be read, a PDF and a CSV."""
    files = {path.name for path in folder.iterdir()} - {"correlation.csv", "matched.csv"}
    names = sorted(name.removesuffix(".csv") for name in files if name.endswith(".csv"))
    assert sorted(files) == sorted(f"{n}.{s}" for n in names for s in ("csv", "png", "pdf"))
    for name in names:
        picture = matplotlib.image.imread(folder / f"{name}.png")
        assert picture.shape[0] > 200
        assert picture[..., :3].std() > 0.01
        assert (folder / f"{name}.pdf").read_bytes().startswith(b"%PDF")
    return names


ALL = ["flatness_vs_accuracy-state-4", "kl_vs_step", "probe_vs_step-state-4"]
SEVERAL = sorted([*ALL, "matched-state-4", "same_loss-state-4"])
"""Of several runs whose KL agrees at some steps."""


def test_plot_of_a_run(tmp_path, capsys):
    make_run(tmp_path / "r")
    assert cli.run(["plot", str(tmp_path / "r")]) == 0
    captured = capsys.readouterr()
    assert without_hint(captured.err) == ""
    out = tmp_path / "r" / "figures"
    rows = [json.loads(line) for line in captured.out.splitlines()]
    assert sorted(row["figure"] for row in rows if "figure" in row) == sorted(
        f"{out / name}{suffix}" for name in ALL for suffix in (".png", ".pdf")
    )
    assert {row["table"] for row in rows if "table" in row} >= {f"{out / name}.csv" for name in ALL}
    assert sorted(path for row in rows for path in row.values()) == sorted(map(str, out.iterdir()))
    assert drawn(out) == ALL


def test_the_csv_files_hold_the_plotted_numbers(tmp_path, unsaved):
    figures.draw([make_run(tmp_path / "r")], tmp_path / "f")
    kl = table(tmp_path / "f" / "kl_vs_step.csv")
    assert [(row["run"], int(row["step"]), float(row["kl"])) for row in kl] == [
        ("r", 10, 0.5),
        ("r", 20, 0.1),
        ("r", 40, 0.02),
    ]
    for name in ("probe_vs_step-state-4", "flatness_vs_accuracy-state-4"):
        points = table(tmp_path / "f" / f"{name}.csv")
        assert [int(row["step"]) for row in points] == list(STEPS)
        assert [float(row["accuracy"]) for row in points] == [0.5, 0.6, 0.7]
        assert [float(row["trace"]) for row in points] == [100, 200, 300]
        assert {(row["accuracy_stderr"], row["trace_stderr"], row["task"]) for row in points} == {
            ("0.02", "2.5", "state-4")
        }
        # The measured KL, 0.5, 0.0625 and 0.0185, stands before that of training; the threshold is 0.05.
        assert [float(row["kl"]) for row in points] == [0.5, 0.0625, 0.5 / 27]
        assert [row["saturated"] for row in points] == ["False", "False", "True"]


def test_plot_of_several_directories(tmp_path, capsys):
    folders = [make_run(tmp_path / name, model) for name, model in (("a", "bert-1x8"), ("b", "lstm-1x8"))]
    assert cli.run(["plot", *map(str, folders), "--out", str(tmp_path / "f")]) == 0
    assert drawn(tmp_path / "f") == SEVERAL
    assert not (tmp_path / "a" / "figures").exists()
    for name in ALL:
        assert [row["run"] for row in table(tmp_path / "f" / f"{name}.csv")] == ["a"] * 3 + ["b"] * 3


def test_runs_of_the_same_name_in_two_places_are_not_mixed_up(tmp_path, unsaved):
    better = [row | {"value": 0.9} if row["method"] == "linear" else row for row in results("bert-1x8")]
    first, second = make_run(tmp_path / "one" / "r"), make_run(tmp_path / "two" / "r", rows=better)
    figures.draw([first, second], tmp_path / "f")
    points = table(tmp_path / "f" / "probe_vs_step-state-4.csv")
    assert [float(row["accuracy"]) for row in points] == [0.5, 0.6, 0.7, 0.9, 0.9, 0.9]


def test_plot_of_a_study(tmp_path, capsys):
    make_run(tmp_path / "s" / "runs" / "bert-1x8-seed0")
    make_run(tmp_path / "s" / "runs" / "lstm-1x8-seed0", "lstm-1x8")
    (tmp_path / "s" / "study.yaml").write_text("language: demo-hmm\n")
    assert cli.run(["plot", str(tmp_path / "s")]) == 0
    assert drawn(tmp_path / "s" / "figures") == SEVERAL


def test_saturated_checkpoints_by_way_of_training(tmp_path, unsaved):
    """Steps 40 alone are saturated; two rates of one algorithm are two ways; one run is no figure."""
    runs = [make_run(tmp_path / "a")]
    figures.draw(runs, tmp_path / "f")
    assert not list((tmp_path / "f").glob("same_loss*"))
    runs.append(make_run(tmp_path / "b", config=replace(CONFIG, seed=1)))
    runs.append(make_run(tmp_path / "c", config=replace(CONFIG, lr=2e-3)))
    runs.append(make_run(tmp_path / "d", "lstm-1x8", config=replace(CONFIG, optimizer="sgd")))
    figures.draw(runs, tmp_path / "f")
    points = table(tmp_path / "f" / "same_loss-state-4.csv")
    assert [(row["run"], row["way"], row["step"]) for row in points] == [
        ("a", "adamw, lr 0.001", "40"),
        ("b", "adamw, lr 0.001", "40"),
        ("c", "adamw, lr 0.002", "40"),
        ("d", "sgd", "40"),
    ]
    assert {(row["trace"], row["accuracy"]) for row in points} == {("300.0", "0.7")}


def without(what):
    return [row for row in results("bert-1x8") if row["what"] != what]


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([], ["kl_vs_step"]),
        (without("hessian_trace"), ["kl_vs_step", "probe_vs_step-state-4"]),
        (without("probe"), ["kl_vs_step"]),
        (without("kl"), ALL),
        ([row for row in results("bert-1x8") if row["step"] is not None], ALL),
        ([row for row in results("bert-1x8") if row["step"] is None], ["kl_vs_step"]),
        ([row for row in results("bert-1x8") if row["step"] in (None, 20)], ALL),
    ],
    ids=["nothing", "no trace", "no probe", "no kl", "no baselines", "baselines alone", "one checkpoint"],
)
def test_what_was_not_measured_is_left_out(tmp_path, rows, expected):
    figures.draw([make_run(tmp_path / "r", rows=rows)], tmp_path / "f")
    assert drawn(tmp_path / "f") == expected


def test_a_trace_at_some_checkpoints_only(tmp_path, unsaved):
    rows = [row for row in results("bert-1x8") if row["what"] != "hessian_trace" or row["step"] == 20]
    figures.draw([make_run(tmp_path / "r", rows=rows)], tmp_path / "f")
    assert [row["step"] for row in table(tmp_path / "f" / "flatness_vs_accuracy-state-4.csv")] == ["20"]
    assert [row["trace"] for row in table(tmp_path / "f" / "probe_vs_step-state-4.csv")] == ["", "200.0", ""]


@pytest.mark.parametrize(
    "what", ["kl", *(pytest.param(what, marks=pytest.mark.slow) for what in ("hessian_trace", "probe"))]
)
def test_numbers_that_are_none_do_not_break_a_figure(tmp_path, what):
    """A run for each of them, side by side."""
    folders = []
    for bad, column in itertools.product((math.nan, math.inf), ("value", "stderr")):
        spoilt = {column: bad}
        rows = [row | spoilt if (row["what"], row["step"]) == (what, 20) else row for row in results("bert-1x8")]
        folders.append(make_run(tmp_path / f"{column}-{bad}", rows=rows, kl=(0.5, bad, 0.02)))
    figures.draw(folders, tmp_path / "f")
    assert drawn(tmp_path / "f") == SEVERAL


@pytest.mark.parametrize(
    "traces",
    [
        (-1.0, 5.0, 50.0),
        (1e-9, 1.0, 1e9),
        *[pytest.param(3 * (same,), marks=pytest.mark.slow) for same in (0.0, 7.0)],
    ],
)
@pytest.mark.filterwarnings("error")
def test_odd_traces(tmp_path, traces):
    rows = [row for row in results("bert-1x8") if row["what"] != "hessian_trace"]
    rows += [
        result("bert-1x8", step, "hessian_trace", value, 0.0, block="total", method="sampled-gradient")
        for step, value in zip(STEPS, traces, strict=True)
    ]
    figures.draw([make_run(tmp_path / "r", rows=rows)], tmp_path / "f")
    assert drawn(tmp_path / "f") == ALL


@pytest.mark.parametrize("kl", [(0.0, 0.0, 0.0), (-0.001, 0.02, -0.003)])
def test_a_kl_that_a_logarithmic_axis_cannot_show(tmp_path, kl):
    figures.draw([make_run(tmp_path / "r", kl=kl)], tmp_path / "f")
    assert drawn(tmp_path / "f") == ALL


def test_measurements_with_other_settings_are_told_apart(tmp_path, unsaved):
    """A quick first look and the real measurement of the same checkpoint are two measurements, not one zigzag."""
    quick = [
        row | {"value": 0.1, "settings": '{"train_sentences": 9}'}
        for row in results("bert-1x8")
        if row["what"] == "probe"
    ]
    figures.draw([make_run(tmp_path / "r", rows=quick + results("bert-1x8"))], tmp_path / "f")
    points = table(tmp_path / "f" / "probe_vs_step-state-4.csv")
    labels = [tuple(value for key, value in row.items() if key != "accuracy") for row in points]
    assert len(set(labels)) == len(points)


def test_a_run_without_metrics_beside_one_with_them(tmp_path, unsaved):
    create_run(tmp_path / "new", "demo-hmm", "bert-1x16", CONFIG)
    figures.draw([tmp_path / "new", make_run(tmp_path / "r")], tmp_path / "f")
    assert {row["run"] for row in table(tmp_path / "f" / "kl_vs_step.csv")} == {"r"}
    with pytest.raises(InputError, match="no metrics yet"):
        figures.draw([tmp_path / "new"], tmp_path / "g")
    assert not (tmp_path / "g").exists()


def test_drawing_again_gives_the_same_csv(tmp_path, unsaved):
    run = make_run(tmp_path / "r")
    figures.draw([run], tmp_path / "f")
    before = {path.name: path.read_bytes() for path in (tmp_path / "f").glob("*.csv")}
    figures.draw([run], tmp_path / "f")
    assert {path.name: path.read_bytes() for path in (tmp_path / "f").glob("*.csv")} == before


def test_measurements_of_different_care_are_not_mixed_into_one_curve(tmp_path, unsaved):
    """One quick probe with other settings, later and apparently perfect, does not replace a point of the full curve."""
    quick = result("bert-1x8", 20, "probe", 1.0, 0.0, method="linear", task="state-4") | {"settings": '{"l2": 9}'}
    folder = make_run(tmp_path / "r", rows=[*results("bert-1x8"), quick])
    figures.draw([folder], tmp_path / "figures")
    points = table(tmp_path / "figures" / "probe_vs_step-state-4.csv")
    assert [float(point["accuracy"]) for point in points] == pytest.approx([0.5, 0.6, 0.7])


NAMES = ("a$b$c", "_first", "$\\bad{", "x")


@pytest.mark.filterwarnings("error")
def test_names_are_shown_as_they_are(tmp_path, capsys, monkeypatch):
    """A $ begins no formula, and a _ hides no run in a legend."""
    folders = [str(make_run(tmp_path / name)) for name in NAMES]
    kept = []
    monkeypatch.setattr(figures.plt, "close", kept.append)
    assert cli.run(["plot", *folders, "--out", str(tmp_path / "f")]) == 0
    assert drawn(tmp_path / "f") == SEVERAL
    for figure in kept[:2]:
        (legend,) = [axes.get_legend() for axes in figure.axes]
        texts = [text.get_text().replace("\\$", "$").lstrip("\u200b") for text in legend.get_texts()]
        assert [name for name in NAMES if any(name in text for text in texts)] == list(NAMES)
    titles = [axes.get_title() for axes in kept[2].axes if axes.get_title()]
    assert [title for title in titles if "_first" in title]


@pytest.mark.filterwarnings("error")
def test_tasks_may_be_called_what_no_file_can_be(tmp_path):
    """A category of a grammar may hold a slash, or be as long as one likes."""
    rows = [
        row for task in ("S/NP", "x" * 300, "$_a b") for row in results("bert-1x8", task) if row["step"] in (None, 20)
    ]
    figures.draw([make_run(tmp_path / "r", rows=rows)], tmp_path / "f")
    names = drawn(tmp_path / "f")
    assert {"probe_vs_step-S%2FNP", "probe_vs_step-$_a-b", "flatness_vs_accuracy-S%2FNP"} <= set(names)
    assert len(names) == 7
    assert max(map(len, names)) < 230


def test_twelve_runs_can_be_told_apart(tmp_path):
    looks = figures.looks_of([f"m{i}" for i in range(4) for _ in range(3)])
    assert [look["color"] for look in looks[:6]] == [looks[0]["color"]] * 3 + [looks[3]["color"]] * 3
    for groups in ([f"m{i}" for i in range(4) for _ in range(3)], [f"m{i}" for i in range(13)], ["m"] * 12):
        looks = figures.looks_of(groups)
        assert len({(look["color"], look["linestyle"], look["marker"]) for look in looks}) == len(groups)


@pytest.mark.slow
def test_labels_of_many_runs_are_inside_the_axes(tmp_path, monkeypatch):
    kept = []
    monkeypatch.setattr(figures.plt, "close", kept.append)
    figures.draw([make_run(tmp_path / f"r-seed{i:02d}") for i in range(13)], tmp_path / "f")
    assert drawn(tmp_path / "f") == SEVERAL
    (axes,) = kept[0].axes
    kept[0].canvas.draw()
    (label,) = axes.texts
    inside, box = axes.get_window_extent(), label.get_window_extent()
    assert inside.x0 <= box.x0 < box.x1 <= inside.x1
    for figure in kept[:2]:
        (legend,) = figure.legends
        assert legend.get_window_extent().x0 >= figure.axes[0].get_window_extent().x1
        assert len(legend.get_texts()) >= 13


def test_every_figure_says_which_versions_differ(tmp_path, monkeypatch, unsaved):
    folders = [make_run(tmp_path / name) for name in "ab"]
    config = folders[1] / "config.yaml"
    (line,) = [line for line in config.read_text().splitlines() if line.startswith("satlab:")]
    config.write_text(config.read_text().replace(line, "satlab: 0.0.8"))
    rows = [row | {"satlab": "0.0.9"} if row["what"] == "probe" else row for row in results("bert-1x8")]
    write_lines(folders[1] / "results.jsonl", rows)
    said = []
    monkeypatch.setattr(figures, "write_below", lambda figure, lines: said.append(" ".join(lines)))
    figures.draw(folders, tmp_path / "f")
    assert ["different versions of satlab" in text for text in said] == [True] * 3
    assert {row["satlab"] for row in table(tmp_path / "f" / "kl_vs_step.csv")} == {line.split()[1].strip("'"), "0.0.8"}
