"""The language of a run, read from its file at first use.

Figures and tables need only its fingerprint, and so need not wait for the import of torch.
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from ...errors import InputError
from ...system.sums import sha256

if TYPE_CHECKING:
    from ...generators import Language


@dataclass(frozen=True)
class KeptLanguage:
    """A language whose fingerprint is known.

    Args:
        fingerprint: the fingerprint of the language.
        source: the file that `Language.save` wrote, or the language itself.
    """

    fingerprint: str
    source: "Path | Language"

    @cached_property
    def language(self) -> "Language":
        """The language. One that is read from a file is on the CPU."""
        if not isinstance(self.source, Path):
            return self.source
        from ...generators import load_language

        return load_language(self.source)

    def check(self) -> None:
        """Compares the file with the fingerprint, which for most languages is the SHA-256 of the file itself.

        Raises:
            InputError: if the file holds another language, or none.
        """
        file = self.source
        if isinstance(file, Path) and file.is_file() and sha256(file) == self.fingerprint:
            return
        if self.language.fingerprint() != self.fingerprint:
            raise InputError(f"{file}: not the language of this run; restore the original file")
