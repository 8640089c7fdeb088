"""The names of a configuration's settings, read off its source: its class need not be imported, which takes seconds."""

from ..declared import ROOT, classes_of, declared_in, fields_of


def setting_names(module: str, name: str, entries: str | None) -> frozenset[str] | None:
    """The names of the fields that a dataclass is made from.

    Args:
        module: of the class, below satlab, such as "train.config".
        name: of the class.
        entries: package below satlab whose registered classes add their fields to those of the class; None for none.

    Returns:
        The names, without those that packages of others add; None where the sources are not there.
    """
    try:
        found = set(fields_of(classes_of(ROOT.joinpath(*module.split(".")).with_suffix(".py")), name))
        if entries is not None:
            found.update(*(entry.settings for entry in declared_in(entries).values()))
    except (OSError, SyntaxError, KeyError):
        return None
    return frozenset(found)
