"""The report in a real browser: plots, filters, tables, keyboard, narrow and dark screens, paper."""

import math
import re

import pytest
from support.browser import DESKTOP, chromium, expect, watch
from support.recorded import make_run, results
from support.reports import EVIL, compared, make_study

from satlab.lab.report import write as report

pytestmark = pytest.mark.slow

POINTS = "#flatness g.point"

TOUCHING = """
() => [...document.querySelectorAll('svg .name')].filter((name) => {
  const a = name.getBoundingClientRect();
  const others = [...name.ownerSVGElement.querySelectorAll('.point .shape, .name')];
  return a.right > name.ownerSVGElement.getBoundingClientRect().right || others.some((point) => {
    const b = point.getBoundingClientRect();
    return point !== name && a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;
  });
}).length
"""
"""How many names of levels reach out of their plot, or touch a point or another name."""


@pytest.fixture(scope="module")
def browser():
    with chromium() as found:
        yield found


@pytest.fixture
def new_page(browser):
    """new_page(**options of a browser's context): an empty page. The test fails where one errs or asks the network."""
    contexts, problems = [], []

    def make(**options):
        contexts.append(browser.new_context(**{"viewport": DESKTOP, "color_scheme": "light"} | options))
        watch(contexts[-1], problems)
        return contexts[-1].new_page()

    make.problems = problems
    yield make
    for context in contexts:
        context.close()
    assert problems == []


@pytest.fixture
def page(new_page):
    return new_page()


def opened(page, folders, path):
    """The report of these folders, written to `path` and opened."""
    report.write_report(folders, path)
    page.goto(path.as_uri())


def column(page, table, number):
    """The texts of a table's column."""
    return page.locator(f"{table} tbody tr td:nth-child({number})").all_text_contents()


def background(page):
    return page.evaluate("getComputedStyle(document.body).backgroundColor")


def test_the_page_in_a_browser(tmp_path, page):
    folder = make_study(tmp_path / "s", EVIL)
    opened(page, [folder], folder / "report.html")
    points, curves = page.locator(POINTS), page.locator("#curves svg")
    expect(points).to_have_count(9)
    expect(page.locator(f"{POINTS}.hollow .cross")).to_have_count(7)
    expect(page.locator("#flatness .bar")).to_have_count(18)
    expect(curves).to_have_count(4)
    expect(page.locator("#curves .band")).to_have_count(3)
    expect(page.locator("#curves .level.threshold")).to_have_count(4)
    expect(page.locator("#probes .level")).to_have_count(2)
    assert page.locator(".question").text_content() == EVIL
    expect(page.locator("#notices")).to_contain_text("(KL 0.3 ± 0.01, threshold 0.05)")
    expect(page.locator("#flatness .words").nth(1)).to_contain_text("Spearman 1.00 [\u22121, 1]")

    steps = [int(step) for step in column(page, "#results", 2)]
    assert steps == [10, 20, 40] * 3
    head = page.locator("#results th:nth-child(2)")
    head.get_by_role("button").click()
    assert [int(step) for step in column(page, "#results", 2)] == sorted(steps)
    expect(head).to_have_attribute("aria-sort", "ascending")
    head.get_by_role("button").click()
    assert [int(step) for step in column(page, "#results", 2)] == sorted(steps, reverse=True)
    expect(head).to_have_attribute("aria-sort", "descending")

    # Runs lie on top of one another here, and the last one's marks are drawn last.
    tip = page.get_by_role("tooltip")
    expect(tip).to_be_hidden()
    points.nth(8).hover()
    expect(tip).to_be_visible()
    for said in ("lstm-1x8-seed0", "sgd", "0.300 ± 0.010", "300.0 ± 2.5", "0.700 ± 0.020", "n = 3", "lr\n0.1"):
        assert said in tip.inner_text()
    page.locator("h1").hover()
    expect(tip).to_be_hidden()


def test_filters_leave_what_they_say(tmp_path, page):
    opened(page, [make_study(tmp_path / "s")], tmp_path / "page.html")
    points, saturated = page.locator(POINTS), page.locator("input[name=saturated]")
    page.locator("input[name=model][value=lstm-1x8]").uncheck()
    expect(points).to_have_count(6)
    assert len(column(page, "#results", 1)) == 6
    expect(page.locator("#curves svg")).to_have_count(3)
    saturated.check()
    expect(points).to_have_count(2)
    expect(page.locator(f"{POINTS}.filled")).to_have_count(2)
    page.locator("input[name=algorithm][value=adamw]").uncheck()
    assert column(page, "#results", 1) == ["bert-1x16-seed1"]
    saturated.uncheck()
    page.locator("select[name=to]").select_option("20")
    expect(points).to_have_count(2)
    expect(page.locator(".count")).to_contain_text("2 of 9 checkpoints")
    for box in ("trace", "kl", "curveSteps", "accuracySteps", "farBaselines"):
        page.locator(f"input[name={box}]").click()
    expect(points).to_have_count(2)
    page.locator("#all summary").click()
    expect(page.locator("#measurements tbody tr")).to_have_count(54)
    expect(page.locator("#curves svg .dot.hollow")).to_have_count(2)


def test_the_page_in_the_dark_on_a_narrow_screen_and_on_paper(tmp_path, page):
    opened(page, [make_study(tmp_path / "s")], tmp_path / "page.html")
    assert background(page) == "rgb(255, 255, 255)"
    page.set_viewport_size({"width": 400, "height": 800})
    page.emulate_media(color_scheme="dark")
    page.wait_for_function("document.querySelector('#flatness svg').viewBox.baseVal.width < 400")
    assert page.evaluate("document.documentElement.scrollWidth") <= 400
    assert background(page) == "rgb(20, 23, 27)"
    page.set_viewport_size({"width": 800, "height": 900})
    page.emulate_media(color_scheme="dark", media="print")
    assert background(page) == "rgb(255, 255, 255)"
    assert len(page.pdf()) > 10_000


def test_the_page_on_a_phone(tmp_path, new_page):
    page = new_page(viewport={"width": 400, "height": 800}, is_mobile=True, has_touch=True, color_scheme="dark")
    opened(page, [make_study(tmp_path / "s")], tmp_path / "page.html")
    assert page.evaluate("document.documentElement.scrollWidth") <= 400
    assert background(page) == "rgb(20, 23, 27)"
    page.locator(POINTS).nth(8).tap()
    expect(page.get_by_role("tooltip")).to_be_visible()
    page.locator("h1").tap()
    expect(page.get_by_role("tooltip")).to_be_hidden()


def test_odd_records_in_a_browser(tmp_path, page):
    """Nothing measured; names that are markup; a KL that no logarithm shows; numbers that are none; one point."""
    bad = [row | {"value": math.nan} if row["what"] == "hessian_trace" else row for row in results("bert-1x8")]
    folders = {
        "empty": make_run(tmp_path / "empty", rows=[]),
        "zero": make_run(tmp_path / "zero", kl=(0.0, -0.001, 0.0)),
        "nan": make_run(tmp_path / "nan", rows=bad, kl=(0.5, math.nan, 0.02)),
        "evil": make_run(tmp_path / "<img src=x onerror=alert(1)>", rows=[*results("x"), *results("x", EVIL)]),
        "one": make_run(tmp_path / "one", rows=[row for row in results("x") if row["step"] == 20]),
    }
    for name, folder in folders.items():
        opened(page, [folder], tmp_path / f"{name}.html")
        assert page.title()
        assert page.url.endswith(f"{name}.html")
        expect(page.locator("img")).to_have_count(0)
        expect(page.locator("#runs tbody tr")).to_have_count(1)
        assert "NaN" not in page.evaluate("[...document.querySelectorAll('svg *')].map((e) => e.outerHTML).join(' ')")


def test_numbers_beside_the_paper(tmp_path, page):
    folder = compared(compared(make_study(tmp_path / "s")), "published-b", ours=None, n=0, difference=None)
    opened(page, [folder], tmp_path / "page.html")
    expect(page.locator("#published-section")).to_be_visible()
    assert column(page, "#published", 1) == ["b", "figure-9"]
    assert column(page, "#published", 4) == ["0.5", "0.5"]
    assert column(page, "#published", 5) == ["not measured", "0.250 ± 0.010 (n = 2 of 3)"]
    assert column(page, "#published", 6) == ["", "\u22120.250"]
    opened(page, [make_study(tmp_path / "t")], tmp_path / "other.html")
    expect(page.locator("#published-section")).to_be_hidden()


def test_points_of_curves_are_reached_by_keyboard_and_say_every_setting(tmp_path, page):
    opened(page, [make_study(tmp_path / "s")], tmp_path / "page.html")
    tip = page.get_by_role("tooltip")
    reached = page.locator("#curves g.point[tabindex='0']")
    assert page.locator("#curves svg:first-of-type g.point[tabindex='0']").count() >= 3
    reached.first.focus()
    assert "step\n10\n" in tip.inner_text()
    for key, step in (("ArrowRight", 20), ("End", 40), ("ArrowLeft", 20), ("Home", 10), ("ArrowLeft", 10)):
        page.keyboard.press(key)
        assert f"step\n{step}\n" in tip.inner_text()
    for said in ("bert-1x16-seed1", "targets\nexact", "lr\n0.001", "batch_size 8 · steps 40 · seed 1 · schedule"):
        assert said in tip.inner_text()
    page.keyboard.press("Tab")
    expect(reached.nth(1)).to_be_focused()
    page.keyboard.press("Escape")
    expect(tip).to_be_hidden()
    keys = page.evaluate("Object.keys(data.runs[0].config)")
    for point in (page.locator("g.point").first, page.locator("g.point").last):
        point.focus()
        assert [key for key in keys if key not in tip.inner_text()] == []


def test_curves_and_the_count_obey_the_filters(tmp_path, page):
    opened(page, [make_study(tmp_path / "s")], tmp_path / "page.html")
    said = page.locator("#filters .count")
    expect(page.locator("#curves .wide .point")).to_have_count(9)
    page.locator("select[name=from]").select_option("20")
    expect(page.locator("#curves .wide .point")).to_have_count(6)
    expect(said).to_have_text("6 of 9 checkpoints, 3 of 3 runs")
    page.locator("input[name=saturated]").check()
    expect(said).to_have_text("2 of 9 checkpoints, 2 of 3 runs")
    expect(page.locator("#curves .wide .path")).to_have_count(2)


@pytest.mark.parametrize("width", [1200, 390])
def test_nine_models_differ_and_names_of_levels_lie_over_no_point(tmp_path, new_page, width):
    for i in range(10):
        rows = [row | {"parameters": i + 1} for row in results(f"bert-{i + 1}x8")]
        make_run(tmp_path / "s" / "runs" / f"r{i}", f"bert-{i + 1}x8", rows)
    (tmp_path / "s" / "study.yaml").write_text("language: demo-hmm\n")
    page = new_page(viewport={"width": width, "height": 900}, is_mobile=width < 600)
    opened(page, [tmp_path / "s"], tmp_path / "page.html")
    looks = page.evaluate("[...looks.models.values()].map((look) => `${look.color} ${look.round}`)")
    assert len(set(looks)) == 10
    expect(page.locator("#flatness .ring")).to_have_count(2 * 3)
    expect(page.locator("#filters .ring")).to_have_count(2)
    expect(page.locator("#probes .path.round1")).to_have_count(2)
    page.locator("input[name=farBaselines]").click()
    expect(page.locator("#probes .name")).to_have_count(3)
    assert page.evaluate(TOUCHING) == 0


def test_a_page_that_asks_the_network_is_noticed(tmp_path, new_page):
    """The watch over the pages of these tests sees an address, what the policy refuses, and an exception."""
    (tmp_path / "page.html").write_text(
        "<meta http-equiv=Content-Security-Policy content=\"img-src 'none'\"><link rel=icon href=data:,>"
        "<link rel=stylesheet href=http://127.0.0.1:9/x.css><img src=x.png><script>throw Error('thrown')</script>"
    )
    new_page().goto((tmp_path / "page.html").as_uri())
    seen = "\n".join(new_page.problems)
    for said in (r"^http://127\.0\.0\.1:9/x\.css$", r"violates .*img-src 'none'", r"^thrown$|Error: thrown"):
        assert re.search(said, seen, re.MULTILINE), said
    new_page.problems.clear()
