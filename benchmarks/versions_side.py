"""One side of versions.py: python versions_side.py CHECKOUT THREADS ONLY.

Of each line that it reads, "next" goes on to the next case, and answers its name, or null after the last; "work" does
the case's work once, and answers its rate in units a second.
"""

import argparse
import itertools
import json
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import torch

CHECKOUT, THREADS, ONLY = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
sys.path.insert(0, str(CHECKOUT / "benchmarks"))
warnings.simplefilter("ignore")
torch.set_num_threads(THREADS)

# The modules of the checkout, whose names are those of this folder's.
import flatness_cases
import languages
import training
from timing import rate

from satlab.generators import load_language
from satlab.models import build_model

Named = tuple[str, Callable[[], int]]

FLATNESS = {"random-factor": 4, "sampled-gradient": 4, "by-parts": 1}
"""Recipe -> how many of its terms, each of several contexts, are one piece of work."""


def language_cases() -> Iterator[Named]:
    with tempfile.TemporaryDirectory() as folder:
        for case in languages.cases("cpu", Path(folder)):
            if "disk" not in case.name:
                yield f"{case.name}, {case.peer_name}" if case.peer_name else case.name, case.ours


def training_cases() -> Iterator[Named]:
    given = argparse.Namespace(precision="float32", compile=False)
    for preset, (shape, size) in itertools.product(training.LANGUAGES, list(training.CPU_ROWS.items())[:3]):
        language, config = load_language(preset), training.settings(given, size)
        work = training.ours(f"bert-post-{shape}", language, config, "cpu")
        yield f"training {shape}, {preset}", training.repeated(work)


def flatness_rates() -> Iterator[Named]:
    language = load_language("demo-pcfg")
    model = build_model("bert-4x128", language)
    for method, terms in FLATNESS.items():
        drawn = flatness_cases.library(model, language, 0, method)

        def work(drawn: Iterator[tuple[int, float, float]] = drawn, terms: int = terms) -> int:
            return sum(next(drawn)[0] for _ in range(terms))

        yield f"flatness, {method}", work


PARTS = {"training": training_cases, "flatness": flatness_rates, "": language_cases}
"""How the names of some cases begin -> those cases. The last ones take a minute to prepare."""


def main() -> None:
    parts = [part for name, part in PARTS.items() if name and ONLY.startswith(name)] or PARTS.values()
    cases = (case for case in itertools.chain.from_iterable(part() for part in parts) if ONLY in case[0])
    work: Callable[[], int] | None = None
    for line in sys.stdin:
        if line.strip() == "next":
            name, work = next(cases, (None, None))
            print(json.dumps(name), flush=True)
        else:
            assert work is not None
            print(rate(work, "cpu"), flush=True)


if __name__ == "__main__":
    main()
