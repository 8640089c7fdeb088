"""What people read: paths on pages are tracked by git, links lead somewhere, commands and columns exist."""

import re
import shlex
import subprocess
from fnmatch import fnmatch

import pytest
from support import ROOT

PAGES = sorted([ROOT / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md")] + [*ROOT.glob("docs/*.md")])
WIDEST = 120

FOLDERS = (
    *("benchmarks", "docs", "examples", "flatness", "generators", "lab", "models", "probes", "studies", "system"),
    *("tests", "theory", "train", r"\.ci", r"\.github"),
)
PATH = re.compile(rf"(?<![\w/.-])(?:{'|'.join(FOLDERS)})/[\w./*-]*")
FENCE = re.compile(r"^```.*?^```[ ]*$", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"`[^`\n]*`")
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


def tracked():
    """Files that git tracks or would track: not what .gitignore keeps out of the history."""
    command = ["git", "-C", str(ROOT), "ls-files", "--cached", "--others", "--exclude-standard"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip("not a checkout of git")
    return [name for name in done.stdout.splitlines() if (ROOT / name).exists()]


def text_of(page):
    return page.read_text(encoding="utf-8")


def anchors(page):
    """What the headings of a page can be linked by, as GitHub and mkdocs both form it."""
    headings = re.findall(r"^#+ (.*)$", FENCE.sub("", text_of(page)), re.MULTILINE)
    return {re.sub(r"[\s]+", "-", re.sub(r"[^\w\s-]", "", heading).strip().lower()) for heading in headings}


def is_there(path, files):
    path = path.rstrip(".")
    if path.endswith("/"):
        return any(name.startswith(path) for name in files)
    return any(fnmatch(name, path) or name.startswith(f"{path}/") for name in files)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_path_on_a_page_is_tracked(page):
    files = tracked()
    # A link's target is relative to its page; the next test looks at these.
    named = PATH.findall(LINK.sub("", text_of(page)))
    assert [path for path in named if not is_there(path, files)] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_and_anchors_lead_somewhere(page):
    files, broken = set(tracked()), []
    for target in LINK.findall(CODE.sub("", FENCE.sub("", text_of(page)))):
        if re.match(r"https?://", target):
            continue
        name, _, anchor = target.partition("#")
        file = (page.parent / name).resolve() if name else page
        if str(file.relative_to(ROOT)) not in files or (anchor and anchor not in anchors(file)):
            broken.append(target)
    assert broken == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_no_line_is_wider_than_a_screen(page):
    assert [number for number, line in enumerate(text_of(page).splitlines(), 1) if len(line) > WIDEST] == []


def test_the_readme_is_one_page():
    assert len(text_of(ROOT / "README.md").splitlines()) <= 120


def test_every_page_is_in_the_navigation():
    listed = set(re.findall(r"[\w-]+\.md", (ROOT / "mkdocs.yml").read_text(encoding="utf-8")))
    assert listed == {page.name for page in PAGES if page.parent.name == "docs"}


def commands(page):
    """The lines of a page that call satlab, in fences, continued lines joined, without comments."""
    for fence in FENCE.findall(text_of(page)):
        for line in fence.replace("\\\n", " ").splitlines():
            found = re.search(r"(?:^|\s|-m )satlab ([a-z]+ .*)", line.split(" #")[0])
            if found and not line.startswith(("[", "ERROR")):
                yield found[1].replace('"', "").strip()


def test_commands_on_pages_exist_with_their_options(monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    from satlab.lab.cli.main import COMMANDS, make_parser

    parsers = make_parser()._subcommands_action._name_parser_map
    own = {"rho", "shrink"}
    """Settings of the examples of docs/extending.md, whose plug-in is not installed here."""
    for page in PAGES:
        for line in commands(page):
            command, *words = shlex.split(line.replace("$", ""))
            assert command in COMMANDS, f"{page.name}: satlab {line}"
            known = parsers[command]._option_string_actions
            for word in words:
                option = word.split("=")[0].replace("-", "_").replace("__", "--", 1)
                assert not word.startswith("--") or option in known or option[2:] in own, f"{page.name}: satlab {line}"


def test_studies_and_presets_on_pages_exist():
    from satlab.generators.load import preset_names

    text = text_of(ROOT / "docs/languages.md")
    assert [name for name in preset_names() if f"`{name}`" not in text] == []
    for line in (line for page in PAGES for line in commands(page) if line.startswith("study ")):
        study = line.split()[1]
        there = [ROOT / study, ROOT / "studies" / f"{study}.yaml", ROOT / "docs/tutorial" / study]
        assert any(path.is_file() for path in there) or study.isupper() or study.startswith("$"), line


def glossary(file):
    """column -> its unit, of the table of a file's columns in docs/numbers.md."""
    text = text_of(ROOT / "docs/numbers.md").partition(f"\n## {file}")[2].partition("| column |")[2]
    rows = [re.split(r"(?<!\\) ?\| ?", line) for line in text.partition("\n\n")[0].splitlines()[2:]]
    return {name: row[-2] for row in rows for name in re.findall(r"`(\w+)`", row[1])}


def test_the_glossary_has_every_column_with_its_unit():
    from satlab.lab.runs.rows import METRICS, RESULT

    assert glossary("metrics.jsonl").keys() == METRICS.keys()
    units = glossary("results.jsonl")
    assert {name: units[name] for name in RESULT} == {name: column.metadata["unit"] for name, column in RESULT.items()}


def test_every_registered_name_is_on_its_page():
    from satlab.flatness import flatness_measures
    from satlab.generators.families.base import families
    from satlab.lab.figures.paper import FORMS
    from satlab.probes import probe_methods

    where = {"flatness": flatness_measures, "languages": families, "studies": FORMS, "probes": probe_methods}
    for page, names in where.items():
        text = text_of(ROOT / f"docs/{page}.md")
        assert [name for name in names if f"`{name}`" not in text] == [], page
