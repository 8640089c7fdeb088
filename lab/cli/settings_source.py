"""Reads the names of a configuration's settings from its source file, because importing its class takes seconds."""

from functools import cache

from ..declared import ROOT, classes_of, declared_in, fields_of


@cache
def setting_names(module: str, name: str, entries: str | None) -> frozenset[str] | None:
    """The names of the fields of a dataclass that options of the command line set, read once in a process.

    Args:
        module: the module of the class, within satlab, such as "train.config".
        name: the name of the class.
        entries: the package within satlab whose registered classes add their fields to the class; None for none.

    Returns:
        The names, without those that other installed packages add; None if the source files cannot be read.
    """
    try:
        found = set(fields_of(classes_of(ROOT.joinpath(*module.split(".")).with_suffix(".py")), name))
        if entries is not None:
            found.update(*(entry.settings for entry in declared_in(entries).values()))
    except (OSError, SyntaxError, KeyError):
        return None
    return frozenset(found)
