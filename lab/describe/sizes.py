"""The table of published sizes and their numbers of parameters."""

from collections.abc import Iterator
from typing import Any

from ...generators.vocabulary import SPECIAL_TOKENS
from ...models.ladder import BERT_ROWS, Size, count_parameters, ladder

KINDS = ("bert", "lstm", "lstm-residual")

OTHERS = (
    "gpt-LAYERSxWIDTH and bert-post-LAYERSxWIDTH take the same sizes as bert-; any kind can be trained at other ones."
)
"""The remark on sizes that the table omits."""

COLUMNS = {
    "name": "name",
    "where": "Liu et al.",
    "layers": "layers",
    "width": "width",
    "heads": "heads",
    "inner": "d-inter",
    "parameters": "parameters",
    "without_embeddings": "without embeddings",
    "with_bert_vocabulary": "with BERT's vocabulary",
}
"""Key of a row -> heading."""

Row = dict[str, Any]


def size_rows(vocab_size: int, max_length: int) -> Iterator[Row]:
    """A row for each published size, for a language with `vocab_size` words and at most `max_length` in a sentence."""
    for kind in KINDS:
        for size in ladder(kind):
            yield _row(size, vocab_size, max_length)


def _row(size: Size, vocab_size: int, max_length: int) -> Row:
    shape = {"name": size.name, "where": size.where, "layers": size.layers, "width": size.width, "heads": size.heads}
    inner = {"inner": size.inner, "published_inner": size.published_inner}
    count = count_parameters(size.name, vocab_size, max_length)
    # BERT's 30,522 rows include its special tokens.
    bert = count_parameters(size.name, BERT_ROWS - SPECIAL_TOKENS, max_length)
    counts = {"parameters": count.total, "without_embeddings": count.without_embeddings}
    of = {"vocab_size": vocab_size, "max_length": max_length}
    return shape | inner | counts | {"with_bert_vocabulary": bert.total} | of


def as_table(rows: list[Row]) -> str:
    """The rows as a table for readers, with right-aligned numbers."""
    cells = [[_cell(row, key) for key in COLUMNS] for row in rows]
    lines = [list(COLUMNS.values()), *cells]
    widths = [max(len(line[i]) for line in lines) for i in range(len(COLUMNS))]
    texts = []
    for line in lines:
        padded = [
            cell.ljust(width) if i < 2 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]
        texts.append("  ".join(padded).rstrip())
    words, length = rows[0]["vocab_size"], rows[0]["max_length"]
    head = f"Parameters for {words:,} words and sentences of at most {length:,}; tied ones once."
    tail = "* d-inter is 4 x width; published: " + ", ".join(
        f"{row['published_inner']:,} ({row['name']})" for row in rows if _changed(row)
    )
    return "\n".join([head, "", *texts, "", tail, OTHERS])


def _changed(row: Row) -> bool:
    return bool(row["inner"] != row["published_inner"])


def _cell(row: Row, key: str) -> str:
    value = row[key]
    if value is None:
        return "-"
    text = f"{value:,}" if isinstance(value, int) else str(value)
    return f"*{text}" if key == "inner" and _changed(row) else text
