"""Studies written by hand, of which reports are made."""

import yaml

from satlab.lab.analysis.published import COLUMNS
from satlab.lab.analysis.results import write_csv
from satlab.train import TrainConfig
from support.recorded import CONFIG, make_run, results

EVIL = "</script><script>alert(1)</script><img src=x onerror=alert(2)>"


MODELS = {
    "bert-1x8-seed0": ("bert-1x8", {}),
    "lstm-1x8-seed0": ("lstm-1x8", {"optimizer": "sgd", "lr": 0.1}),
    "bert-1x16-seed1": ("bert-1x16", {"targets": "exact", "seed": 1}),
}


def make_study(folder, question=None, rows=None):
    """Three runs of three steps; KL falls below the threshold at the last step, but for the second run."""
    for name, (model, changes) in MODELS.items():
        config = TrainConfig(**{**CONFIG.__dict__, **changes})
        mine = results(model) if rows is None else rows
        if model == "lstm-1x8":
            mine = [row | {"value": 0.3} if row["what"] == "kl" else row for row in mine]
        kl = (0.5, 0.1, 0.02) if model != "lstm-1x8" else (0.5, 0.3, 0.3)
        make_run(folder / "runs" / name, model, mine, kl, config)
    (folder / "study.yaml").write_text(yaml.safe_dump({"language": "demo-hmm", "question": question}))
    return folder


def compared(folder, name="published-figure-9", **changes):
    """A study's comparison with a paper as it stands in its directory."""
    row = dict.fromkeys(COLUMNS) | {
        "source": "Table 1",
        "what": "kl, a",
        "published": 0.5,
        "ours": 0.25,
        "n": 2,
        "seeds": 3,
    }
    row |= {"ours_stderr": 0.01, "difference": -0.25, "method": "exact-truth", "saturated": True} | changes
    (folder / "figures").mkdir(exist_ok=True)
    write_csv([row], list(COLUMNS), folder / "figures" / f"{name}.csv")
    (folder / "figures" / f"{name}.md").write_text("| |\n")
    return folder
