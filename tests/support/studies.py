"""The smallest real study, and what of its files can be compared."""

import json

import pyarrow.parquet as pq
import yaml

from support.words import CLOCK

STUDY = {
    "language": "demo-hmm",
    "models": {"bert-1x8": {}, "lstm-1x8": {"lr": 0.01}},
    "tasks": ["state-4"],
    "train": {
        "steps": 120,
        "batch_size": 16,
        "lr": 0.003,
        "checkpoints": [60],
        "evaluate_every": 10,
        "resume_every": 20,
        "evaluation_sentences": 60,
        "stop_at_saturation": False,
    },
    "evaluate": {"sentences": 80},
    "probe": {"train_sentences": 60, "test_sentences": 50, "seeds": 2},
    "flatness": {"contexts": 12},
}


def write(folder, **changes):
    (folder / "study.yaml").write_text(yaml.safe_dump(STUDY | changes))
    return ["study", str(folder / "study.yaml"), "--out", str(folder / "out"), "--workers", "1"]


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def timeless(rows):
    """The rows without what the clock says, in an order of their own."""
    return sorted(json.dumps({k: v for k, v in row.items() if k not in CLOCK}, sort_keys=True) for row in rows)


def comparable(out):
    """All that a study leaves and that must not depend on how often it was interrupted."""
    found = {"results": timeless(pq.read_table(out / "results.parquet").to_pylist())}
    for path in sorted(out.rglob("*")):
        name = str(path.relative_to(out))
        if path.suffix == ".jsonl":
            found[name] = timeless(lines(path))
        elif path.is_file() and (path.suffix in (".safetensors", ".npz", ".json") or path.name == "config.yaml"):
            found[name] = path.read_bytes()
    return found
