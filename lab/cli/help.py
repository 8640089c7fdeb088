"""What --help says of an option: its meaning, a placeholder that tells its type, and the default where there is one."""

import re
from argparse import Action, _StoreTrueAction
from typing import Any

from jsonargparse import DefaultHelpFormatter

PLACEHOLDERS = {"int": "N", "float": "X"}
"""A number's type -> what stands for it."""


class HelpFormatter(DefaultHelpFormatter):
    """Help as people write it: no names of Python's types, no null; of a list, how it is written.

    --steps N is a whole number, --lr X any number, --radii [X,...] a list of such; else the option's name stands.
    """

    def _get_help_string(self, action: Action) -> str:
        if action.dest in ("help", "version"):
            return str(super()._get_help_string(action))
        said = ["required"] if action.required else []
        if action.default is not None and not action.required and not isinstance(action, _StoreTrueAction):
            shown = list(action.default) if isinstance(action.default, tuple) else action.default
            said += [] if shown == [] else [f"default: {str(shown).lower() if isinstance(shown, bool) else shown}"]
        text = (action.help or "").removesuffix(".")
        return text + (f" ({', '.join(said)})" if said and action.option_strings else "")

    def _get_default_metavar_for_optional(self, action: Action) -> str:
        return PLACEHOLDERS.get(self._kind(action), super()._get_default_metavar_for_optional(action))

    def _kind(self, action: Action) -> str:
        """The type of what an option is given, null aside."""
        return (self._get_type_str(action) or "").removesuffix(" | null")

    def _format_args(self, action: Action, default_metavar: str) -> str:
        kind = re.fullmatch(r"(list|tuple)\[(\w+).*\]", self._kind(action))
        if kind is None or not action.option_strings:
            return str(super()._format_args(action, default_metavar))
        item = PLACEHOLDERS.get(kind[2], "ITEM")
        return f"[{item},{'...' if kind[1] == 'list' else item}]"

    def _format_action_invocation(self, action: Action) -> str:
        given: Any = action.option_strings
        action.option_strings = [name for name in given if not name.endswith("+")]
        try:
            return str(super()._format_action_invocation(action))
        finally:
            action.option_strings = given
