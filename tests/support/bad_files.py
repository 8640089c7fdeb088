"""A directory of files with one thing wrong each, for the tests of bad input."""

import shlex
import shutil

import numpy as np
import yaml

from satlab.lab.cli import main as cli
from satlab.lab.studies.config import load_study
from satlab.lab.studies.study import prepare

SMALL = "--batch_size 8 --evaluation_sentences 50 --model bert-1x8"
STUDY = {
    "language": "demo-hmm",
    "models": {"bert-1x8": {}},
    "tasks": ["state-1"],
    "train": {"steps": 2, "batch_size": 8, "evaluation_sentences": 50},
}
GARBAGE = bytes(range(128, 256)) * 3

FILES = {
    "malformed.pcfg": "S -> 'a' [0.5]\nS => 'b' [0.5]\n",
    "sum.pcfg": "S -> T [1.0]\nT -> 'a' [0.5] | 'b' [0.3]\n",
    "undefined.pcfg": "S -> NP [1.0]\n",
    "endless.pcfg": "S -> T 'a' [1.0]\nT -> T T [1.0]\n",
    "long.pcfg": "S -> 'a' 'a' 'a' 'a' [1.0]\n",
    "cycle.pcfg": "S -> A [1.0]\nA -> B [1.0]\nB -> A [1.0]\n",
    "rounded.pcfg": "S -> A [1.0]\nA -> S [0.99999999999999999] | 'b' [0.00000000000000001]\n",
    "empty.pcfg": "# nothing here\n\n",
    "emptyrule.pcfg": "S -> 'a' [0.5] | [0.5]\n",
    "unquoted.pcfg": "S -> 'a [1.0]\n",
    "text.pcfg": "this is no grammar\n",
    "good.txt": "S -> 'a' [1.0]\n",
    "garbage.pcfg": GARBAGE,
    "garbage.npz": GARBAGE,
    "garbage.yaml": GARBAGE,
    "list.yaml": "- 1\n",
    "length.yaml": "{preset: demo-hmm, length: 0}",
    "preset.yaml": "preset: demo-hm\n",
    "key.yaml": "{preset: demo-hmm, stats: 3}",
    "states.yaml": "{family: random-hmm, states: 0, words: 3}",
    "negative.yaml": "{family: random-hmm, states: -2, words: 4}",
    "family.yaml": "family: [hmm]\n",
    "layers.yaml": "{family: layered-pcfg, layers: [1, a], rules: [2], words: 3}",
    "self.yaml": "file: self.yaml\n",
    "bound.yaml": "{file: long.pcfg, max_length: six}",
    "lr.yaml": "lr: abc\n",
    "null.yaml": "lr: null\n",
    "lrr.yaml": "lrr: 0.1\n",
    "steps.yaml": "steps: -1\n",
    "schedule.yaml": "schedule: cosin\n",
    "broken.yaml": "lr: [1\n",
    "other/notes.txt": "mine\n",
    "empty/config.yaml": "",
}


def studies():
    """File name -> a study's content with one thing wrong."""
    changes = {
        "key": {"modles": {}},
        "train": {"train": {"lrr": 1}},
        "lr": {"train": {"lr": "abc"}},
        "number-train": {"train": 3},
        "checkpoints": {"train": {"checkpoints": [-1]}},
        "masking": {"train": {"masking": "two"}},
        "list": {"models": ["bert-1x8"]},
        "model": {"models": {"bort-1x8": {}}},
        "number": {"models": {"bert-1x8": 3}},
        "modelkey": {"models": {"bert-1x8": {"lrr": 1}}},
        "none": {"models": {}},
        "task": {"tasks": ["A"]},
        "tasks": {"tasks": "state-1"},
        "seeds": {"seeds": ["a"]},
        "method": {"flatness": {"method": "sampled-gradent"}},
        "contexts": {"flatness": {"contexts": -1}},
        "evaluate": {"evaluate": {"sentences": -1}},
        "probe": {"probe": {"seeds": 0}},
        "language": {"language": "demo-hm"},
        "workers": {"workers": -1},
        "good": {},
        "changed": {"train": STUDY["train"] | {"lr": 0.5}},
    }
    contents = {name: STUDY | change for name, change in changes.items()}
    contents["lacks"] = {key: value for key, value in STUDY.items() if key != "models"}
    return {f"study-{name}.yaml": yaml.safe_dump(content) for name, content in contents.items()}


def save_chain(path, **changed):
    arrays = {"initial": np.full(2, 0.5), "transition": np.full((2, 2), 0.5), "emission": np.full((2, 4), 0.25)}
    np.savez(path, **(arrays | changed))


def write_files(folder):
    """Every file that the rows name, a run, one without checkpoints, a corpus and a prepared study."""
    for name, content in (FILES | studies()).items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    (folder / "folder.pcfg").mkdir()
    save_chain(folder / "row.npz", transition=np.array([[0.5, 0.5], [0.5, 0.6]]))
    save_chain(folder / "nan.npz", emission=np.array([[0.25] * 4, [0.5, 0.5, np.nan, 0]]))
    save_chain(folder / "length.npz", length=0)
    save_chain(folder / "scalar.npz", words=np.array("abc"))
    assert cli.run(["train", "demo-hmm", "--out", str(folder / "run"), "--steps", "2", *shlex.split(SMALL)]) == 0
    shutil.copytree(folder / "run", folder / "untrained")
    shutil.rmtree(folder / "untrained" / "checkpoints")
    (folder / "untrained" / "metrics.jsonl").unlink()
    assert cli.run(["generate", "demo-hmm", "--out", str(folder / "corpus"), "--sentences", "5"]) == 0
    prepare(load_study(str(folder / "study-good.yaml")), folder / "study")
