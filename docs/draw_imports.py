"""Draws docs/imports.svg: the folders of the package, one below the other, and who imports whom, read off the source.

    python docs/draw_imports.py

Packages stand so that imports run downwards. Arcs on the right are imports between packages, arcs on the left those
between the folders of one package, which may run both ways between different files. What a package's __init__.py
imports is left out: it passes on names.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DRAWING = ROOT / "docs/imports.svg"
GROUND = "errors, registry, ..."
"""The modules beside the folders, as one row. All folders may import them, so that no arc says it."""

ROW, MIDDLE, WIDTH = 19, 90, 480
COLOURS = ("#4477aa", "#ee6677", "#228833", "#aa8800", "#3399bb", "#aa3377", "#dd7700", "#555555")

Arrow = tuple[str, str]


def folders() -> list[str]:
    """The folders that hold modules of the package, such as "train" and "train/optimizers"."""
    packages = [path.parent for path in ROOT.glob("[a-z]*/__init__.py")]
    found = [path.parent.relative_to(ROOT) for package in packages for path in package.rglob("__init__.py")]
    return sorted(folder.as_posix() for folder in found)


def arrows() -> set[Arrow]:
    """(importing folder, imported folder) of all imports between different folders."""
    known = set(folders())
    found = set()
    for folder in known:
        for path in (ROOT / folder).glob("*.py"):
            if path.name != "__init__.py":
                found |= {(folder, other) for other in _imported(path, known) if other != folder}
    return found


def _imported(path: Path, known: set[str]) -> Iterator[str]:
    """The folders of the modules that a module imports; a name imported from a package counts for the package."""
    package = path.relative_to(ROOT).parent.parts
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.ImportFrom):
            continue
        base = package[: len(package) + 1 - node.level] if node.level else ()
        named = tuple((node.module or "").split(".")) if node.module else ()
        if not node.level:
            if named[:1] != ("satlab",):
                continue
            named = named[1:]
        for alias in node.names:
            whole = (*base, *named, alias.name)
            inside = ["/".join(whole[:end]) for end in range(len(whole), 0, -1)]
            yield from [folder for folder in inside if folder in known][:1]


def package_of(folder: str) -> str:
    """The first part of a folder's path."""
    return folder.partition("/")[0]


def between_packages(drawn: set[Arrow]) -> set[Arrow]:
    """The arrows, by package."""
    pairs = {(package_of(source), package_of(target)) for source, target in drawn}
    return {(source, target) for source, target in pairs if source != target}


def within_packages(drawn: set[Arrow]) -> set[Arrow]:
    """The arrows that stay in a package."""
    return {(source, target) for source, target in drawn if package_of(source) == package_of(target)}


def ordered(names: list[str], drawn: set[Arrow]) -> list[str]:
    """The names with importers before what they import; where that is a circle, the one with the fewest importers."""
    left, order = list(names), []
    while left:
        above = {name: sum(target == name and source in left for source, target in drawn) for name in left}
        order.append(min(left, key=lambda name: (above[name], name)))
        left.remove(order[-1])
    return order


def rows(drawn: set[Arrow]) -> list[str]:
    """All folders, package after package."""
    names = folders()
    packages = ordered(sorted({package_of(name) for name in names}), between_packages(drawn))
    return [name for top in packages for name in ordered([one for one in names if package_of(one) == top], drawn)]


def svg(drawn: set[Arrow]) -> str:
    """The drawing. Each arc bears its ends as data, so that it can be compared with the code."""
    names = rows(drawn)
    packages = list(dict.fromkeys(package_of(name) for name in names))
    height, where = {}, ROW
    for name in names:
        where += ROW // 2 if name == next(one for one in names if package_of(one) == package_of(name)) else 0
        height[name], where = where, where + ROW
    ground, colour = where + ROW, dict(zip(packages, COLOURS, strict=True))
    box = f'viewBox="0 0 {WIDTH} {ground + ROW}" width="{WIDTH}" height="{ground + ROW}"'
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {box} font-family="sans-serif" font-size="12">',
        '<rect width="100%" height="100%" fill="white"/>',
        *(_head(package, colour[package]) for package in packages),
    ]
    for name in names:
        weight = ' font-weight="bold"' if "/" not in name else ""
        at = f'x="{MIDDLE + 8}" y="{height[name] + 4}" fill="{colour[package_of(name)]}"{weight}'
        lines.append(f'<text class="folder" {at}>{name}</text>')
    lines.append(f'<text x="{MIDDLE + 8}" y="{ground + 4}" fill="black">{GROUND}: imported by all, without arcs</text>')
    for source, target in sorted(between_packages(drawn)):
        first = {top: min(height[name] for name in names if package_of(name) == top) for top in (source, target)}
        lines.append(_arc(source, target, (first[source], first[target]), MIDDLE + 150, 1, colour[source]))
    for source, target in sorted(within_packages(drawn)):
        ends = height[source], height[target]
        lines.append(_arc(source, target, ends, MIDDLE, -1, colour[package_of(source)]))
    return "\n".join([*lines, "</svg>", ""])


def _head(package: str, colour: str) -> str:
    """The tip of the arrows of a package."""
    box = 'viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto"'
    return f'<marker id="tip-{package}" {box}><path d="M0,0 L8,4 L0,8 z" fill="{colour}"/></marker>'


def _arc(source: str, target: str, ends: tuple[int, int], x: int, side: int, colour: str) -> str:
    """An arrow from one row to another that bulges to the right (side 1) or to the left (-1)."""
    begin, end = ends[0] + 2, ends[1] - 2
    bulge = x + side * (18 + 0.42 * abs(end - begin))
    path = f"M{x},{begin} C{bulge:.0f},{begin} {bulge:.0f},{end} {x},{end}"
    known = f'data-from="{source}" data-to="{target}"'
    tip = f'marker-end="url(#tip-{package_of(source)})"'
    return f'<path {known} d="{path}" fill="none" stroke="{colour}" stroke-opacity="0.7" {tip}/>'


if __name__ == "__main__":
    DRAWING.write_text(svg(arrows()), encoding="utf-8")
