"""Reads YAML files of plain data without repeated keys. An error is one line and names the line of the file."""

import codecs
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import yaml

from ..errors import WORDS, InputError
from .replaceable import check_readable

MOST_UNFOLDED = 10**5
"""The largest number of values that aliases (*name) may add to those written out."""

MOST_CHARACTERS = 1000
"""The largest number of characters in a number."""

MOST_SHOWN = 60
"""The largest number of characters of a value in a message."""

TAG = "tag:yaml.org,2002:"

PLAIN = tuple(TAG + kind for kind in ("null", "bool", "int", "float", "str", "seq", "map"))
"""The types that a file may hold. A date is read as a string."""

WHOLE = re.compile(r"(?:0|-?[1-9][0-9]*)$")
"""An integer in the form in which it is printed. Other forms are strings: 010, which YAML 1.1 reads as 8, is "010"."""

MARKS = {codecs.BOM_UTF32_LE: "utf-32", codecs.BOM_UTF32_BE: "utf-32"} | {
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
"""Byte order marks of files that are not UTF-8. The first match counts, so UTF-32 comes before UTF-16."""


def read_yaml_text(content: bytes) -> Any:
    """The value of a YAML document: None, booleans, numbers, strings, lists and dicts.

    Args:
        content: the document in UTF-8, or in UTF-16 or UTF-32 with a byte order mark.

    Returns:
        The value; None for an empty document.

    Raises:
        InputError: with the line number, for text that is not YAML, a key given twice at any depth, a value that
            cannot be read, a tag, a value that contains itself, aliases that stand for more than MOST_UNFOLDED values,
            and more than one document.
    """
    text = _decoded(content)
    loader = None
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        if node is None:
            return None
        _Check(loader).all_of(node)
        return loader.construct_document(node)
    except InputError:
        raise
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        problem = f"the character U+{ord(text[error.position]):04X} is not allowed"
    except yaml.MarkedYAMLError as error:
        line, problem = _line(error), ", ".join(filter(None, (error.context, error.problem)))
    except RecursionError:
        line, problem = _reached(loader), "nested too deeply, expected a few levels"
    except (yaml.YAMLError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError) as error:
        line, problem = _reached(loader), str(error)
    raise InputError(f"not YAML: line {line}: {problem}; correct it")


def read_yaml(path: Path, remedy: str | None = None) -> dict[str, Any]:
    """The mapping in a file. For any other content, raises InputError with the file's path and what to do."""
    try:
        check_readable(path, "a file")
        document = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error}); check the path") from None
    try:
        content = read_yaml_text(document)
    except InputError as error:
        raise InputError(f"{path}: {error}{'' if remedy is None else f'; {remedy}'}") from None
    if not isinstance(content, dict):
        given = "empty" if content is None else f"holds {WORDS.get(type(content), type(content).__name__)}"
        raise InputError(f"{path}: {given}, expected a mapping of keys to values; {remedy or 'correct the file'}")
    return content


def _decoded(content: bytes) -> str:
    encoding = next((name for mark, name in MARKS.items() if content.startswith(mark)), "utf-8-sig")
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        found = f"the byte 0x{content[error.start]:02X} is not {encoding.upper().removesuffix('-SIG')}"
        raise InputError(f"line {line}: {found}, expected UTF-8 text; save the file as UTF-8") from None


def _line(error: yaml.MarkedYAMLError) -> int:
    mark = error.problem_mark or error.context_mark
    return 1 if mark is None else mark.line + 1


def _reached(loader: "_Loader | None") -> int:
    return 1 if loader is None else loader.line + 1


def _shown(text: str) -> str:
    return repr(text if len(text) <= MOST_SHOWN else text[:MOST_SHOWN] + "...")


def _unknown_tag(loader: yaml.SafeLoader, node: yaml.Node) -> Any:
    line, tag = node.start_mark.line + 1, node.tag.replace(TAG, "!!")
    raise InputError(
        f"line {line}: the tag {_shown(tag)}, expected plain strings, numbers, lists and mappings; remove the tag"
    )


class _Loader(yaml.SafeLoader):
    """A YAML loader that accepts only the types in PLAIN."""

    yaml_implicit_resolvers = {  # noqa: RUF012 - as its base class has it
        first: [
            (tag, WHOLE if tag == TAG + "int" else pattern)
            for tag, pattern in known
            if tag not in (TAG + "timestamp", TAG + "value")
        ]
        for first, known in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    # Except as a key, << is a plain string.
    yaml_constructors: ClassVar[dict[Any, Any]] = {tag: yaml.SafeLoader.yaml_constructors[tag] for tag in PLAIN} | {
        TAG + "merge": yaml.SafeLoader.construct_yaml_str,
        None: _unknown_tag,
    }

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node)
        return super().construct_object(node, deep)

    def _scalar(self, node: yaml.ScalarNode) -> Any:
        kind = node.tag.removeprefix(TAG)
        try:
            if kind in ("int", "float") and len(node.value) > MOST_CHARACTERS:
                raise ValueError(f"has {len(node.value)} characters")
            value = super().construct_object(node)
            if isinstance(value, str):
                # Paths may hold bytes that are not UTF-8, as such surrogates.
                value.encode(errors="surrogateescape")
            return value
        except InputError:
            raise
        except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError):
            names = {
                "int": "a number",
                "float": "a number",
                "bool": "true or false",
                "str": "a string of valid characters",
            }
            expected = names.get(kind, kind)
            line = node.start_mark.line + 1
            raise InputError(f"line {line}: {_shown(node.value)}, expected {expected}; correct it") from None


class _Check:
    """Refuses what PyYAML accepts silently or at any cost: repeated keys, recursive values, too many aliases."""

    def __init__(self, loader: _Loader) -> None:
        self.loader, self.written = loader, 0
        self.sizes: dict[int, int] = {}

    def all_of(self, node: yaml.Node) -> None:
        """Raises InputError for the first of these in a document."""
        if self._size(node) - self.written > MOST_UNFOLDED:
            raise InputError(
                f"line {node.start_mark.line + 1}: aliases (*name) stand for more than {MOST_UNFOLDED:,} values, "
                "expected fewer; write them out"
            )

    def _size(self, node: yaml.Node) -> int:
        """The number of values in a node, including itself, with aliases expanded."""
        if isinstance(node, yaml.ScalarNode):
            self.written += id(node) not in self.sizes
            self.sizes[id(node)] = 1
            return 1
        known = self.sizes.get(id(node))
        if known == 0:
            line = node.start_mark.line + 1
            raise InputError(
                f"line {line}: a value that contains itself, expected none; write out what *name stands for"
            )
        if known is not None:
            return known
        self.sizes[id(node)] = 0
        self.written += 1
        if isinstance(node, yaml.MappingNode):
            self._check_keys(node)
        size = 1 + sum(map(self._size, _children(node)))
        self.sizes[id(node)] = size
        return size

    def _check_keys(self, node: yaml.MappingNode) -> None:
        first: dict[Any, int] = {}
        for key, _ in node.value:
            line = key.start_mark.line + 1
            if not isinstance(key, yaml.ScalarNode):
                raise InputError(f"line {line}: a key is a list or a mapping, expected a name; correct it")
            value = self.loader.construct_object(key)
            if value in first:
                given = f"the key {_shown(key.value)} is given twice, first in line {first[value]}"
                raise InputError(f"line {line}: {given}; remove one of them")
            first[value] = line


def _children(node: yaml.Node) -> Iterator[yaml.Node]:
    for child in node.value:
        if isinstance(child, tuple):
            yield from child
        else:
            yield child
