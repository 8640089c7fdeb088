"""The report: one file, complete, whose data are never markup, and which says what its reader has to beware of."""

import base64
import hashlib
import json
import math
import re
import shutil
import subprocess
from html.parser import HTMLParser
from urllib.parse import unquote

import pytest
from support.hints import without_hint
from support.recorded import CONFIG, STEPS, make_run, metrics, result, results, write_lines
from support.reports import EVIL, MODELS, compared, make_study

from satlab import __version__
from satlab.lab.analysis.published import COLUMNS
from satlab.lab.cli import main as cli
from satlab.lab.report import write as report
from satlab.lab.runs.run import create_run

pytestmark = pytest.mark.usefixtures("no_model")


class Page(HTMLParser):
    """What a browser would make of the file: elements, their attributes, the text of each script."""

    def __init__(self, path):
        super().__init__()
        self.text = path.read_text(encoding="utf-8")
        self.elements, self.open, self.inside = [], None, {}
        self.feed(self.text)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        self.open = dict(attributes).get("id", tag)

    def handle_endtag(self, tag):
        self.open = None

    def handle_data(self, data):
        self.inside[self.open] = self.inside.get(self.open, "") + data

    @property
    def data(self):
        return json.loads(self.inside["data"])

    def tags(self, name):
        return [attributes for tag, attributes in self.elements if tag == name]


def written(folder, out=None):
    path = out or folder / "report.html"
    report.write_report([folder], path)
    return Page(path)


def test_the_command(tmp_path, capsys):
    folder = make_study(tmp_path / "s")
    assert cli.run(["report", str(folder)]) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out) == {"report": str(folder / "report.html")}
    assert without_hint(captured.err) == (
        "satlab: warning: not saturated at the last step, so their losses differ: lstm-1x8-seed0 "
        "(KL 0.3 +- 0.01, threshold 0.05); train longer\n"
    )
    assert sorted(path.name for path in folder.iterdir()) == ["report.html", "runs", "study.yaml"]
    before = (folder / "report.html").read_bytes()
    assert cli.run(["report", str(folder)]) == 0
    assert (folder / "report.html").read_bytes() == before


def test_what_is_said_at_the_same_kl(tmp_path):
    """The two runs of exact KL agree with one another at every step, one of them alone where it is saturated."""
    (panel,) = written(make_study(tmp_path / "s")).data["matched"]["panels"]
    assert (panel["task"], panel["count"], len(panel["pairs"])) == ("state-4", 2, 2)
    assert [(pair["flatter_step"], pair["sharper_step"], pair["same_model"]) for pair in panel["pairs"]] == [
        (10, 10, False),
        (40, 40, False),
    ]
    assert panel["words"][0].startswith("Saturated checkpoints of the same KL: n = 1 pair of 2 runs, too few for")
    alone = written(make_run(tmp_path / "r"))
    assert alone.data["matched"] == {"rows": [], "panels": []}
    assert [a for a in alone.tags("section") if a.get("id") == "matched-section" and "hidden" in a]


def test_several_directories_and_another_place(tmp_path, capsys):
    folders = [str(make_run(tmp_path / name, model)) for name, model in (("a", "bert-1x8"), ("b", "lstm-1x8"))]
    assert cli.run(["report", *folders, "--out", str(tmp_path / "new" / "x.html")]) == 0
    assert [run["name"] for run in Page(tmp_path / "new" / "x.html").data["runs"]] == ["a", "b"]
    assert json.loads(capsys.readouterr().out) == {"report": str(tmp_path / "new" / "x.html")}


def test_one_file_that_needs_no_other(tmp_path):
    page = written(make_study(tmp_path / "s"))
    assert not re.search(r"https?://|//[a-z]+\.|@import|url\(", page.text)
    assert [a for _, a in page.elements if "src" in a or "srcset" in a] == []
    assert [a["href"] for _, a in page.elements if "href" in a] == ["data:,"]
    (policy,) = (a["content"] for a in page.tags("meta") if a.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'; ")
    for tag in ("style", "script"):
        digest = base64.b64encode(hashlib.sha256(page.inside[tag].encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
    assert [a.get("type") for a in page.tags("script")] == ["application/json", None]
    assert {"viewport", "color-scheme"} <= {a.get("name") for a in page.tags("meta")}
    assert [a for _, a in page.elements if any(key.startswith("on") or key == "style" for key in a)] == []


def test_the_data_are_complete(tmp_path):
    page = written(make_study(tmp_path / "s"))
    data = page.data
    assert [run["name"] for run in data["runs"]] == sorted(MODELS)
    by_name = {run["name"]: run for run in data["runs"]}
    assert {name: run["algorithm"] for name, run in by_name.items()} == {
        "bert-1x8-seed0": "adamw",
        "lstm-1x8-seed0": "sgd",
        "bert-1x16-seed1": "adamw, exact targets",
    }
    assert by_name["lstm-1x8-seed0"]["differs"] == {"optimizer": "sgd", "lr": 0.1, "targets": "sampled"}
    assert by_name["bert-1x8-seed0"]["config"]["batch_size"] == 8
    assert {name: [row["kl"] for row in rows] for name, rows in data["curves"].items()} == {
        "bert-1x8-seed0": [0.5, 0.1, 0.02],
        "bert-1x16-seed1": [0.5, 0.1, 0.02],
        "lstm-1x8-seed0": [0.5, 0.3, 0.3],
    }
    assert [(row["run"], row["step"]) for row in data["checkpoints"]] == [(n, s) for n in sorted(MODELS) for s in STEPS]
    last = next(row for row in data["checkpoints"] if row["run"] == "bert-1x8-seed0" and row["step"] == 40)
    assert last == {
        "run": "bert-1x8-seed0",
        "step": 40,
        "kl": {"value": 0.5 / 27, "stderr": 0.01, "n": 3},
        "fresh": True,
        "saturated": True,
        "trace": {"value": 300.0, "stderr": 2.5, "n": 3},
        "accuracy": {"state-4": {"value": 0.7, "stderr": 0.02, "n": 3}},
        "satlab": "0.1.0",
    }
    assert [(row["method"], row["value"]) for row in data["baselines"]] == [
        ("bayes", 0.75),
        ("lookup", 0.6),
        ("majority", 0.3),
    ]
    assert {(row["among"], row["n"], row["runs"]) for row in data["correlations"]} == {
        ("saturated", 2, 2),
        ("all checkpoints", 9, 3),
    }
    assert all(row["low"] == -1 and row["high"] == 1 for row in data["correlations"])
    assert data["words"]["state-4"][0].startswith("Saturated models, within sizes: n = 2 of 2 runs, no correlation")
    assert data["shown"] == {"KL": "exact-truth", "Tr(H)": "sampled-gradient", "state-4": "linear"}
    assert data["rescaled"] == []
    assert len(data["measurements"]) == sum(len(results("x")) for _ in MODELS)


def test_links_lead_to_the_files_wherever_the_page_is(tmp_path):
    odd = tmp_path / "a study #1 100%"
    folder = make_study(odd / "s")
    (folder / "results.csv").write_text("run\n")
    for out in (folder / "report.html", tmp_path / "elsewhere" / "deep" / "page.html"):
        data = written(folder, out).data
        links = [file["link"] for file in data["files"]]
        links += [link for run in data["runs"] for link in (run["link"], *(file["link"] for file in run["files"]))]
        assert len(links) == 2 + 3 * 4
        for link in links:
            assert not link.startswith("/")
            assert ":" not in link
            assert (out.parent / unquote(link)).exists()
    assert [file["name"] for file in data["runs"][0]["files"]] == ["config.yaml", "metrics.jsonl", "results.jsonl"]


def test_names_are_data_and_never_markup(tmp_path):
    folder = make_study(tmp_path / '<b>&"quoted" {{data}}', question=EVIL)
    folder = folder.rename(folder.parent / "<img src=x onerror=alert(3)>")
    rows = [result(EVIL.replace("/", "\\"), 10, "probe", 0.5, method="linear", task=EVIL), *results("bert-1x8")]
    write_lines(folder / "runs" / "bert-1x8-seed0" / "results.jsonl", rows)
    (folder / "runs" / "lstm-1x8-seed0").rename(folder / "runs" / "<svg onload=alert(4)>")
    page = written(folder)
    assert len(page.tags("script")) == 2
    assert page.tags("img") == []
    assert page.inside["h1"] == "<img src=x onerror=alert(3)>"
    assert EVIL in page.inside["p"]
    assert page.text.count("</script>") == 2
    assert EVIL in page.data["tasks"]
    assert page.data["question"] == EVIL
    assert "<svg onload=alert(4)>" in [run["name"] for run in page.data["runs"]]
    assert "<" not in page.inside["data"]


def test_the_question_of_the_study_stands_on_top(tmp_path):
    folder = make_study(tmp_path / "s", "Is flat good?")
    page = written(folder)
    assert page.tags("p")[0] == {"class": "question"}
    assert page.data["question"] == "Is flat good?"
    (folder / "study.yaml").write_text("language: demo-hmm\n")
    assert written(folder).data["question"].endswith("does the flatter one do better downstream?")


def test_results_of_different_versions_are_not_mixed_silently(tmp_path, capsys):
    folder = make_study(tmp_path / "s")
    file = folder / "runs" / "bert-1x8-seed0" / "results.jsonl"
    write_lines(file, [row | {"satlab": "0.0.9"} if row["what"] == "probe" else row for row in results("bert-1x8")])
    assert cli.run(["report", str(folder)]) == 0
    said = "measured by different versions of satlab (rows by 0.0.9: 6, 0.1.0: 48), which may not be comparable"
    assert [said in line for line in without_hint(capsys.readouterr().err).splitlines()] == [True, False]
    data = Page(folder / "report.html").data
    assert said in data["notices"][0]
    assert data["versions"] == ["0.0.9", "0.1.0"]
    assert data["checkpoints"][3]["satlab"] == "0.0.9, 0.1.0"
    assert {row["satlab"] for row in data["correlations"]} == {"0.0.9, 0.1.0"}
    assert cli.run(["plot", str(folder)]) == 0
    assert said in capsys.readouterr().err


def test_models_that_are_not_saturated_are_marked(tmp_path):
    data = written(make_study(tmp_path / "s")).data
    assert {run["name"]: run["saturated"] for run in data["runs"]} == {
        "bert-1x8-seed0": True,
        "bert-1x16-seed1": True,
        "lstm-1x8-seed0": False,
    }
    assert [row["saturated"] for row in data["checkpoints"]] == [False, False, True] * 2 + [False] * 3
    assert len(data["notices"]) == 1


def test_many_models_that_are_not_saturated_make_one_line(tmp_path, capsys):
    for i in range(7):
        make_run(tmp_path / "s" / "runs" / f"r{i}", kl=(0.5, 0.4, 0.3), rows=[])
    (tmp_path / "s" / "study.yaml").write_text("language: demo-hmm\n")
    assert cli.run(["report", str(tmp_path / "s")]) == 0
    lines = capsys.readouterr().err.splitlines()
    assert [line for line in lines if "r3 (KL 0.3 +- 0.01, threshold 0.05) and 3 more; train longer" in line]


def test_a_study_without_measurements_yet(tmp_path, capsys):
    data = written(make_study(tmp_path / "s", rows=[])).data
    assert data["notices"][-1].startswith("nothing measured yet")
    assert (data["checkpoints"], data["correlations"], data["tasks"]) == ([], [], [])
    assert len(data["curves"]["bert-1x8-seed0"]) == 3
    assert capsys.readouterr().err == ""


def test_measurements_that_are_not_drawn_are_listed(tmp_path):
    quick = [row | {"settings": '{"l2": 9, "contexts": 9}'} for row in results("bert-1x8") if row["step"] == 20]
    data = written(make_run(tmp_path / "r", rows=[*results("bert-1x8"), *quick])).data
    assert data["notices"][0].startswith("5 measurements not drawn")
    assert len(data["measurements"]) == len(results("bert-1x8")) + 5
    assert len(data["checkpoints"]) == 3


def rescaled(step, alpha, value):
    rows = [("", value), ("/norm", value / 4), ("/weight", value * 3 / 4)]
    more = {"method": "invariance", "alpha": alpha}
    return [
        result("bert-1x8", step, "rescaled_trace", part, 2.5, block=f"{alpha:g}{end}", **more) for end, part in rows
    ]


def test_every_probe_and_the_rescaled_traces_are_shown(tmp_path):
    more = [row | {"method": "linear-adamw", "value": 0.4} for row in results("bert-1x8") if row["method"] == "linear"]
    more += rescaled(40, 0.5, 600.0) + rescaled(40, 1.0, 300.0) + rescaled(40, 2.0, 400.0)
    data = written(make_run(tmp_path / "r", rows=[*results("bert-1x8"), *more])).data
    assert data["tasks"] == ["state-4", "state-4 linear-adamw"]
    assert {key: value["value"] for key, value in data["checkpoints"][2]["accuracy"].items()} == {
        "state-4": 0.7,
        "state-4 linear-adamw": 0.4,
    }
    assert [row["task"] for row in data["baselines"]] == ["state-4"] * 3 + ["state-4 linear-adamw"] * 3
    assert [(row["step"], row["alpha"], row["trace"]["value"]) for row in data["rescaled"]] == [
        (40, "0.5", 600),
        (40, "1", 300),
        (40, "2", 400),
    ]
    assert data["rescaled"][0]["blocks"]["norm"] == {"value": 150, "stderr": 2.5, "n": 3}
    (said,) = data["rescaled_words"]
    assert said.endswith(": Tr(H) changes by a factor of 2 (rescaling by 0.5, 1, 2 at step 40 of r).")


@pytest.mark.parametrize("bad", [math.nan, math.inf, None])
def test_numbers_that_are_none(tmp_path, bad):
    rows = [row | {"value": bad} if row["step"] == 20 else row for row in results("bert-1x8")]
    folder = make_run(tmp_path / "r", rows=rows)
    write_lines(
        folder / "metrics.jsonl", [metrics(step, kl) for step, kl in zip(STEPS, (0.5, math.nan, 0.02), strict=True)]
    )
    data = written(folder).data
    assert data["curves"]["r"][1]["kl"] == "nan"
    assert len(data["measurements"]) == len(rows)
    assert [row["step"] for row in data["checkpoints"]][-1] == 40


WRONG_ROWS = {
    "short": ("results.jsonl", {"what": "kl", "model": "bert-1x8"}, "has no key 'method', expected a string there"),
    "value": ("results.jsonl", result("", 10, "kl", "hello", method="x"), 'value is "hello", expected a number'),
    "step": ("results.jsonl", result("", "20", "kl", 0.1, method="x"), 'step is "20", expected an integer'),
    "yes": ("results.jsonl", result("", True, "kl", 0.1, method="x"), "step is true, expected an integer"),
    "task": ("results.jsonl", result("", 1, "probe", 0.1, method="x"), "has no key 'task', expected a string there"),
    "settings": ("results.jsonl", result("", 1, "kl", 0.1, method="x", settings="[]"), 'settings is "[]", expected'),
    "kl": ("metrics.jsonl", {"step": 30, "kl": "x", "kl_stderr": 0.1}, 'kl is "x", expected a number'),
    "no kl": ("metrics.jsonl", {"step": 30}, "has no key 'kl', expected a number there; correct the line or remove it"),
}


def wrong(tmp_path, kind):
    """The arguments of a report that cannot be, and what is said of them."""
    if kind == "neither":
        (tmp_path / "x").mkdir()
        return [str(tmp_path / "x")], "neither a run nor a study, expected a directory made by satlab train or study"
    if kind == "untrained":
        create_run(tmp_path / "x", "demo-hmm", "bert-1x8", CONFIG)
        return [str(tmp_path / "x")], "no metrics yet, expected a trained run; train one first"
    if kind == "empty study":
        (tmp_path / "x").mkdir()
        (tmp_path / "x" / "study.yaml").write_text("language: demo-hmm\n")
        return [str(tmp_path / "x")], "no metrics yet"
    if kind == "damaged":
        folder = make_run(tmp_path / "x")
        (folder / "results.jsonl").write_text('{"step": 1\n')
        return [str(folder)], "line 1: damaged, expected a JSON object; remove the line"
    if kind in WRONG_ROWS:
        folder, (file, row, said) = make_run(tmp_path / "x"), WRONG_ROWS[kind]
        with (folder / file).open("a") as lines:
            lines.write(json.dumps(row) + "\n")
        return [str(folder)], f"{folder / file}, line {len(results('')) + 1 if 'results' in file else 4}: {said}"
    if kind == "languages":
        other = tmp_path / "y"
        create_run(other, "demo-pcfg", "bert-1x8", CONFIG)
        return [str(make_run(tmp_path / "x")), str(other)], "different languages"
    if kind == "name":
        return [str(make_run(tmp_path / "x")), "--out", str(tmp_path / "x.txt")], "its name ending in .html"
    (tmp_path / "d.html").mkdir()
    return [str(make_run(tmp_path / "x")), "--out", str(tmp_path / "d.html")], "expected a file"


KINDS = ["neither", "untrained", "empty study", "damaged", "languages", "name", "directory", *WRONG_ROWS]


@pytest.mark.parametrize("kind", KINDS)
def test_bad_input_is_one_line_and_nothing_written(tmp_path, kind, refused):
    arguments, message = wrong(tmp_path, kind)
    refused(["report", *arguments], message)


def test_the_scripts_never_make_markup_of_data():
    for name in (*report.SCRIPTS, *report.STYLES):
        text = (report.PAGE / name).read_text()
        assert not re.search(
            r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|new Function|</script", text
        )
        assert len(text.splitlines()) < 300


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not here")
@pytest.mark.parametrize("name", report.SCRIPTS)
def test_the_scripts_are_valid(name):
    done = subprocess.run(["node", "--check", report.PAGE / name], check=False, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_page_says_which_version_wrote_it(tmp_path):
    assert written(make_run(tmp_path / "r")).data["satlab"] == __version__


def test_published_numbers_are_shown_of_every_study_in_the_directory(tmp_path):
    folder = compared(compared(make_study(tmp_path / "s")), "published-figure-10", ours=None, n=0, difference=None)
    data = written(folder).data
    assert [(row["study"], row["link"]) for row in data["published"]] == [
        ("figure-10", "figures/published-figure-10.md"),
        ("figure-9", "figures/published-figure-9.md"),
    ]
    kept = {key: data["published"][1][key] for key in ("published", "ours", "ours_stderr", "n", "seeds", "difference")}
    assert kept == {"published": 0.5, "ours": 0.25, "ours_stderr": 0.01, "n": 2, "seeds": 3, "difference": -0.25}
    assert (data["published"][1]["saturated"], data["published"][0]["ours"]) == (True, None)
    assert "figures/published-figure-9.md" in [file["name"] for file in data["files"]]


def test_a_comparison_of_an_older_version_is_shown(tmp_path):
    folder = make_study(tmp_path / "s")
    (folder / "figures").mkdir()
    heads = "source,what,published,published_stderr,ours,ours_stderr,n,difference,method,settings,saturated"
    (folder / "figures" / "published.csv").write_text(f'{heads}\nTable 1,"kl, a",0.5,,0.25,0.01,2,-0.25,x,{{}},True\n')
    (row,) = written(folder).data["published"]
    assert (row["study"], row["ours"], row["n"], row["seeds"]) == ("published", 0.25, 2, None)


@pytest.mark.parametrize("text", ["source,what\na,b\n", "{heads}\nx,y,high,,,,,,,,,,\n", "{heads}\nx\n"])
def test_a_comparison_that_is_none_is_one_line(tmp_path, capsys, text):
    folder = compared(make_study(tmp_path / "s"))
    file = folder / "figures" / "published-figure-9.csv"
    file.write_text(text.format(heads=",".join(COLUMNS)))
    assert cli.run(["report", str(folder)]) == 2
    said = f"{file}, line 2: is no comparison, expected what satlab study wrote; run the study again"
    assert said in capsys.readouterr().err


def test_files_of_two_studies_are_told_apart_by_their_directories(tmp_path):
    first, second = (compared(make_study(tmp_path / name)) for name in ("one", "two"))
    report.write_report([first, second], tmp_path / "page.html")
    names = [file["name"] for file in Page(tmp_path / "page.html").data["files"]]
    assert {"one/study.yaml", "two/study.yaml", "two/figures/published-figure-9.md"} <= set(names)
    assert len(set(names)) == len(names)
    third = compared(make_study(tmp_path / "deep" / "one"))
    report.write_report([first, third], tmp_path / "page.html")
    names = [file["name"] for file in Page(tmp_path / "page.html").data["files"]]
    assert len(set(names)) == len(names)


def test_correlations_say_how_many_checkpoints_are_not_saturated(tmp_path):
    data = written(make_study(tmp_path / "s")).data
    assert {(row["among"], row["unsaturated"]) for row in data["correlations"]} == {
        ("saturated", 0),
        ("all checkpoints", 7),
    }
