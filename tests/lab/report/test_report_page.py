"""The report in a real browser: plots, filters, tables, keyboard, narrow and dark screens, paper."""

import json
import math

import pytest
from support.chromium import Chromium, find_chromium
from support.recorded import make_run, results
from support.reports import EVIL, compared, make_study

from satlab.lab.report import write as report


@pytest.fixture
def browser(tmp_path):
    program = find_chromium()
    if program is None:
        pytest.skip("no Chromium here")
    (tmp_path / "browser").mkdir()
    with Chromium(tmp_path / "browser", program) as found:
        found.look()
        yield found


POINTS = "#flatness g.point"


def count(browser, selector):
    return browser.evaluate(f"document.querySelectorAll({json.dumps(selector)}).length")


def column(browser, table, number):
    """The texts of a table's column."""
    cells = f"document.querySelectorAll('{table} tbody tr td:nth-child({number})')"
    return browser.evaluate(f"[...{cells}].map((cell) => cell.textContent)")


@pytest.mark.slow
def test_the_page_in_a_browser(tmp_path, browser):
    folder = make_study(tmp_path / "s", EVIL)
    report.write_report([folder], folder / "report.html")
    browser.open((folder / "report.html").as_uri())
    assert count(browser, POINTS) == 9
    assert count(browser, f"{POINTS}.hollow .cross") == 7
    assert count(browser, "#flatness .bar") == 18
    assert count(browser, "#curves svg") == 4
    assert count(browser, "#curves .band") == 3
    assert count(browser, "#curves .level.threshold") == 4
    assert count(browser, "#probes .level") == 2
    assert browser.evaluate("document.querySelector('.question').textContent") == EVIL

    steps = [int(step) for step in column(browser, "#results", 2)]
    assert steps == [10, 20, 40] * 3
    browser.click("#results th:nth-child(2) button")
    assert [int(step) for step in column(browser, "#results", 2)] == sorted(steps)
    assert browser.evaluate("document.querySelectorAll('#results th')[1].getAttribute('aria-sort')") == "ascending"
    browser.click("#results th:nth-child(2) button")
    assert [int(step) for step in column(browser, "#results", 2)] == sorted(steps, reverse=True)
    assert browser.evaluate("document.querySelectorAll('#results th')[1].getAttribute('aria-sort')") == "descending"

    # Runs lie on top of one another here, and the last one's marks are drawn last.
    assert browser.evaluate("document.getElementById('tooltip').hidden")
    browser.move(POINTS, 8)
    browser.wait_for("!document.getElementById('tooltip').hidden")
    tip = browser.evaluate("document.getElementById('tooltip').innerText")
    for said in ("lstm-1x8-seed0", "sgd", "0.300 ± 0.010", "300.0 ± 2.5", "0.700 ± 0.020", "n = 3", "lr\n0.1"):
        assert said in tip
    browser.move("h1")
    browser.wait_for("document.getElementById('tooltip').hidden")

    browser.click("input[name=model][value=lstm-1x8]")
    assert count(browser, POINTS) == 6
    assert len(column(browser, "#results", 1)) == 6
    assert count(browser, "#curves svg") == 3
    browser.click("input[name=saturated]")
    assert count(browser, POINTS) == count(browser, f"{POINTS}.filled") == 2
    browser.click("input[name=algorithm][value=adamw]")
    assert column(browser, "#results", 1) == ["bert-1x16-seed1"]
    browser.click("input[name=saturated]")
    choose = "const s = document.querySelector('select[name=to]'); s.value = '20'; s.dispatchEvent(new Event('change'))"
    browser.evaluate(f"(() => {{ {choose} }})()")
    assert count(browser, POINTS) == 2
    assert "2 of 9 checkpoints" in browser.evaluate("document.querySelector('.count').textContent")
    for box in ("trace", "kl", "curveSteps", "accuracySteps", "farBaselines"):
        browser.click(f"input[name={box}]")
    assert count(browser, POINTS) == 2
    browser.click("#all summary")
    browser.wait_for("document.querySelectorAll('#measurements tbody tr').length === 54")
    assert count(browser, "#curves svg .dot.hollow") == 2
    assert browser.problems == []


@pytest.mark.slow
def test_the_page_on_a_phone_in_the_dark_and_on_paper(tmp_path, browser):
    folder = make_study(tmp_path / "s")
    report.write_report([folder], folder / "report.html")
    browser.open((folder / "report.html").as_uri())
    back = "getComputedStyle(document.body).backgroundColor"
    assert browser.evaluate(back) == "rgb(255, 255, 255)"
    browser.look(400, 800, "dark")
    browser.wait_for("document.querySelector('#flatness svg').viewBox.baseVal.width < 400")
    assert browser.evaluate("document.documentElement.scrollWidth") <= 400
    assert browser.evaluate(back) == "rgb(20, 23, 27)"
    browser.look(800, 900, "dark", "print")
    assert browser.evaluate(back) == "rgb(255, 255, 255)"
    assert len(browser.send("Page.printToPDF")["data"]) > 10_000
    assert browser.problems == []


@pytest.mark.slow
def test_odd_records_in_a_browser(tmp_path, browser):
    """Nothing measured; names that are markup; a KL that no logarithm shows; numbers that are none; one point."""
    bad = [row | {"value": math.nan} if row["what"] == "hessian_trace" else row for row in results("bert-1x8")]
    pages = {
        "empty": make_run(tmp_path / "empty", rows=[]),
        "zero": make_run(tmp_path / "zero", kl=(0.0, -0.001, 0.0)),
        "nan": make_run(tmp_path / "nan", rows=bad, kl=(0.5, math.nan, 0.02)),
        "evil": make_run(tmp_path / "<img src=x onerror=alert(1)>", rows=[*results("x"), *results("x", EVIL)]),
        "one": make_run(tmp_path / "one", rows=[row for row in results("x") if row["step"] == 20]),
    }
    for name, folder in pages.items():
        page = tmp_path / f"{name}.html"
        report.write_report([folder], page)
        browser.open(page.as_uri())
        browser.wait_for(f"document.title.length > 0 && location.href.endsWith('{name}.html')")
        assert count(browser, "img") == 0
        assert count(browser, "#runs tbody tr") == 1
        assert "NaN" not in browser.evaluate(
            "[...document.querySelectorAll('svg *')].map((e) => e.outerHTML).join(' ')"
        )
        assert browser.problems == []


def opened(browser, folders, path):
    report.write_report(folders, path)
    browser.open(path.as_uri())


@pytest.mark.slow
def test_numbers_beside_the_paper(tmp_path, browser):
    folder = compared(compared(make_study(tmp_path / "s")), "published-b", ours=None, n=0, difference=None)
    opened(browser, [folder], tmp_path / "page.html")
    assert not browser.evaluate("document.getElementById('published-section').hidden")
    assert column(browser, "#published", 1) == ["b", "figure-9"]
    assert column(browser, "#published", 4) == ["0.5", "0.5"]
    assert column(browser, "#published", 5) == ["not measured", "0.250 ± 0.010 (n = 2 of 3)"]
    assert column(browser, "#published", 6) == ["", "\u22120.250"]
    opened(browser, [make_study(tmp_path / "t")], tmp_path / "other.html")
    browser.wait_for("location.href.endsWith('other.html') && document.getElementById('published-section').hidden")
    assert browser.problems == []


def press(browser, key):
    for kind in ("keyDown", "keyUp"):
        browser.send("Input.dispatchKeyEvent", type=kind, key=key, code=key)


@pytest.mark.slow
def test_points_of_curves_are_reached_by_keyboard_and_say_every_setting(tmp_path, browser):
    opened(browser, [make_study(tmp_path / "s")], tmp_path / "page.html")
    tip = "document.getElementById('tooltip').innerText"
    assert count(browser, "#curves svg:first-of-type g.point[tabindex='0']") >= 3
    browser.evaluate("document.querySelector('#curves g.point[tabindex=\"0\"]').focus()")
    assert "step\n10\n" in browser.evaluate(tip)
    for key, step in (("ArrowRight", 20), ("End", 40), ("ArrowLeft", 20), ("Home", 10), ("ArrowLeft", 10)):
        press(browser, key)
        assert f"step\n{step}\n" in browser.evaluate(tip)
    for said in ("bert-1x16-seed1", "targets\nexact", "lr\n0.001", "batch_size 8 · steps 40 · seed 1 · schedule"):
        assert said in browser.evaluate(tip)
    keys = browser.evaluate("Object.keys(data.runs[0].config)")
    for number in (0, count(browser, "g.point") - 1):
        browser.evaluate(f"document.querySelectorAll('g.point')[{number}].focus()")
        assert [key for key in keys if key not in browser.evaluate(tip)] == []
    assert browser.problems == []


@pytest.mark.slow
def test_curves_and_the_count_obey_the_filters(tmp_path, browser):
    opened(browser, [make_study(tmp_path / "s")], tmp_path / "page.html")
    said = "document.querySelector('#filters .count').textContent"
    assert count(browser, "#curves .wide .point") == 9
    choose = (
        "const s = document.querySelector('select[name=from]'); s.value = '20'; s.dispatchEvent(new Event('change'))"
    )
    browser.evaluate(f"(() => {{ {choose} }})()")
    assert count(browser, "#curves .wide .point") == 6
    assert browser.evaluate(said) == "6 of 9 checkpoints, 3 of 3 runs"
    browser.click("input[name=saturated]")
    assert browser.evaluate(said) == "2 of 9 checkpoints, 2 of 3 runs"
    assert count(browser, "#curves .wide .path") == 2
    assert browser.problems == []


@pytest.mark.slow
@pytest.mark.parametrize("width", [1200, 390])
def test_nine_models_differ_and_names_of_levels_lie_over_no_point(tmp_path, browser, width):
    for i in range(10):
        rows = [row | {"parameters": i + 1} for row in results(f"bert-{i + 1}x8")]
        make_run(tmp_path / "s" / "runs" / f"r{i}", f"bert-{i + 1}x8", rows)
    (tmp_path / "s" / "study.yaml").write_text("language: demo-hmm\n")
    browser.look(width, 900)
    opened(browser, [tmp_path / "s"], tmp_path / "page.html")
    looks = browser.evaluate("[...looks.models.values()].map((look) => `${look.color} ${look.round}`)")
    assert len(set(looks)) == 10
    assert count(browser, "#flatness .ring") == 2 * 3
    assert count(browser, "#filters .ring") == 2
    assert count(browser, "#probes .path.round1") == 2
    browser.click("input[name=farBaselines]")
    assert count(browser, "#probes .name") == 3
    touching = browser.evaluate(
        "[...document.querySelectorAll('svg .name')].filter((name) => {"
        "const a = name.getBoundingClientRect();"
        "const svg = name.ownerSVGElement.getBoundingClientRect();"
        "const others = [...name.ownerSVGElement.querySelectorAll('.point .shape, .name')];"
        "return a.right > svg.right || others.some((point) => {"
        "const b = point.getBoundingClientRect();"
        "return point !== name && a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom; });"
        "}).length"
    )
    assert touching == 0
    assert browser.problems == []
