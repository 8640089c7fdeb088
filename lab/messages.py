"""Lines on stderr, which leave a progress bar whole."""

import sys
from typing import Any

from tqdm import tqdm

from .unforeseen import on_one_line


def show_warning(message: Warning | str, category: type[Warning], *rest: Any, **named: Any) -> None:
    """What `warnings.showwarning` is set to: satlab's own warnings are a line each, others are none of the user's."""
    if category is UserWarning:
        tqdm.write(f"satlab: warning: {on_one_line(str(message))}", file=sys.stderr)
