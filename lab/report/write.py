"""Writes the report: one HTML file that works offline, with sortable tables and interactive plots."""

import base64
import hashlib
import html
import json
import re
from pathlib import Path
from typing import Any

from ...system.disk import write_atomic
from .data import collect

PAGE = Path(__file__).parent / "page"
SCRIPTS = (
    "chart.js",
    "tip.js",
    "table.js",
    "data.js",
    "filters.js",
    "plots.js",
    "matched.js",
    "tables.js",
    "report.js",
)
STYLES = ("chart.css", "table.css", "report.css")


def write_report(folders: list[Path], out: Path) -> dict[str, Any]:
    """Writes the report of runs and studies.

    Args:
        folders: runs or studies.
        out: the file, which is left unchanged if there is an error.

    Returns:
        The content of the page, as `collect` returns it.

    Raises:
        InputError: if a directory is neither a run nor a study, nothing is recorded yet, the runs are on different
            languages, or a file is damaged.
    """
    data = collect(folders, out)
    text = as_html(data)
    out.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(out, text)
    return data


def as_html(data: dict[str, Any]) -> str:
    """The page. Names and settings are data in it, never markup, and its security policy admits no other script."""
    script, style = (
        "\n".join((PAGE / name).read_text(encoding="utf-8") for name in names) for names in (SCRIPTS, STYLES)
    )
    parts = {
        "title": html.escape(data["title"]),
        "question": html.escape(data["question"]),
        "data": as_script_data(data),
        "script": script,
        "style": style,
        "script_hash": _hash(script),
        "style_hash": _hash(style),
    }
    template = (PAGE / "report.html").read_text(encoding="utf-8")
    return re.sub(r"\{\{(\w+)\}\}", lambda found: parts[found[1]], template)


def as_script_data(data: Any) -> str:
    """JSON for a script element: <, > and & are escaped, so that no name ends it, and so are non-ASCII characters."""
    text = json.dumps(data, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _hash(text: str) -> str:
    """The source expression of a content security policy that admits exactly this text."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
