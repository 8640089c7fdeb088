"""The line with which a command says where its results are, and what can be done with them."""

HINT = "satlab: results are in "


def without_hint(err):
    """What a command says on stderr beside that line, which must be the last one."""
    *before, last = err.splitlines(keepends=True)
    assert last.startswith(HINT), err
    return "".join(before)
