"""Speed of the languages beside their peers, in one run: a table, a JSON file, and how the cost grows as CSV and PNG.

    python benchmarks/languages.py [--rounds 5] [--device cpu] [--only TEXT] [--out results/benchmarks]

Every figure is a rate in units a second, its mean over the rounds with the standard error; ratios are taken round by
round. All cores are used by both sides, as torch uses them, except where a peer can use only one.
"""

import argparse
import json
import multiprocessing
import os
import shutil
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from growth import draw_growth
from machine import machine
from peers import DenseInside, TorchStruct, candidate_by_candidate, recursive_sampler
from timing import Case, at_least_two, measure, table

from satlab.generators import HMM, PCFG, Language, load_language
from satlab.randomness import random_stream

LAYERED = "liu2022-pcfg-released"
UNLAYERED = {"family": "random-pcfg", "symbols": 50, "rules": 1000, "words": 200, "max_length": 32, "lengths": {32: 1}}
TREEBANK = UNLAYERED | {"symbols": 1000, "rules": 20_000, "words": 5000, "max_length": 40, "lengths": {40: 1}}
DENSE_HMM = {"family": "random-hmm", "states": 100, "words": 200, "length": 16}
WEI = {"preset": "wei2021-hmm", "length": 10_240}


def sample(language: Language, n: int) -> torch.Tensor:
    return language.sample(n, random_stream(1, "corpus", device=language.device), latents=False).tokens


def conditionals(language: Language, n: int, dtype: torch.dtype = torch.float64) -> Callable[[], int]:
    tokens = sample(language, n)

    def work() -> int:
        language.conditional(tokens, dtype=dtype)
        return n

    return work


def by_length(tokens: torch.Tensor, pad: int, at_most: Callable[[int], int]) -> Iterator[torch.Tensor]:
    lengths = (tokens != pad).sum(1)
    for length in lengths.unique().tolist():
        yield from tokens[lengths == length, :length].split(at_most(length))


def dense_inside(language: PCFG, n: int) -> Callable[[], int]:
    peer, tokens = DenseInside(language), sample(language, n)

    def work() -> int:
        for part in by_length(tokens, language.pad_id, lambda length: 2**28 // peer.floats_per_sentence(length)):
            peer.conditional(part)
        return n

    return work


def pcfg_cases(language: PCFG, unlayered: PCFG, treebank: PCFG) -> Iterator[Case]:
    name = "layered grammar, all conditionals"
    ours = conditionals(language, 20_000)
    yield Case(name, "sentences", ours, "dense inside, autograd", dense_inside(language, 1000))
    struct, ten = TorchStruct(language), sample(language, 10)

    def marginals() -> int:
        for part in by_length(ten, language.pad_id, lambda length: 4):
            struct.marginals(part)
        return len(ten)

    yield Case(name, "sentences", ours, "torch-struct 0.5, marginals", marginals)

    def candidates() -> int:
        for part in by_length(ten, language.pad_id, lambda length: 4):
            candidate_by_candidate(language, part)
        return len(ten)

    yield Case(name, "sentences", ours, "one inside a candidate", candidates)
    tokens = sample(language, 20_000)
    first = torch.zeros_like(tokens, dtype=torch.bool)
    first[:, 0] = True
    yield Case(
        "layered grammar, one position", "sentences", counted(20_000, language.conditional_at, tokens, None, first)
    )
    yield Case("layered grammar, log p", "sentences", counted(20_000, language.log_prob, tokens))
    yield Case("layered grammar, next words", "sentences", counted(2000, language.next_word, tokens[:2000]))
    yield Case(
        "50 symbols, 1,000 rules, length 32", "sentences", conditionals(unlayered, 1000),
        "dense inside, autograd", dense_inside(unlayered, 40),
    )  # fmt: skip
    yield Case("1,000 symbols, 20,000 rules, length 40", "sentences", conditionals(treebank, 32))


def counted(n: int, run: Callable[..., object], *arguments: object) -> Callable[[], int]:
    def work() -> int:
        run(*arguments)
        return n

    return work


def score_samples(language: HMM, n: int) -> Callable[[], int]:
    model, tokens = language.to_hmmlearn(), sample(language, n)
    column, lengths = tokens.reshape(-1, 1).numpy(), [language.max_length] * n
    return counted(n, model.score_samples, column, lengths)


def hmm_cases(dense: HMM, blocks: HMM, long: HMM) -> Iterator[Case]:
    peer = "hmmlearn score_samples, scaling"
    for dtype, name in ((torch.float64, "float64"), (torch.float32, "float32")):
        ours = conditionals(dense, 8192, dtype)
        yield Case(f"HMM 100 states, {name}", "sentences", ours, peer, score_samples(dense, 2000))
    for dtype, name in ((torch.float64, "float64"), (torch.float32, "float32")):
        ours = conditionals(blocks, 8192, dtype)
        yield Case(f"liu2022-hmm, {name}", "sentences", ours, peer, score_samples(blocks, 2000))
    tokens = sample(long, 4)
    yield Case("Wei et al., 10,240 words", "words", counted(tokens.numel(), long.conditional, tokens))


def sampler_cases(layered: PCFG, blocks: HMM, seeds: Iterator[int]) -> Iterator[Case]:
    model = blocks.to_hmmlearn()

    def drawn(language: Language, n: int, words: bool) -> Callable[[], int]:
        def work() -> int:
            sentences = language.sample(n, random_stream(next(seeds), "corpus", device=language.device), latents=False)
            return int(sentences.lengths.sum()) if words else n

        return work

    def hmmlearn_words() -> int:
        for _ in range(2000):
            model.sample(blocks.max_length, random_state=next(seeds))
        return 2000 * blocks.max_length

    yield Case("liu2022-hmm, sampling", "words", drawn(blocks, 100_000, True), "hmmlearn sample", hmmlearn_words)

    def recursive() -> int:
        return len(recursive_sampler(layered, 10_000, next(seeds)))

    yield Case("layered grammar, sampling", "sentences", drawn(layered, 200_000, False), "recursive sampler", recursive)
    critical = PCFG.from_string("S -> S S [0.55] | 'a' [0.25] | 'b' [0.2]", 32)
    yield Case("beyond criticality, length 32", "sentences", drawn(critical, 100_000, False))


def corpus_cases(folder: Path, seeds: Iterator[int]) -> Iterator[Case]:
    """The command itself, from its start to its end, with one thread a worker as it sets them."""
    sentences, length = 1000 * 16_384, 16

    def written(workers: int) -> Callable[[], int]:
        def work() -> int:
            out = folder / str(next(seeds))
            command = [sys.executable, "-m", "satlab", "generate", "liu2022-hmm", "--sentences", str(sentences)]
            command += ["--out", str(out), "--seed", out.name, "--workers", str(workers)]
            unset = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
            subprocess.run(command, check=True, capture_output=True, env=unset)
            shutil.rmtree(out)
            return sentences * length

        return work

    yield Case("liu2022-hmm to disk, 2 workers", "words", written(2), "1 worker", written(1), most_rounds=2)


def cases(device: str, folder: Path) -> Iterator[Case]:
    seeds = iter(range(1, 10**9))
    layered, blocks = load_language(LAYERED).to(device), load_language("liu2022-hmm").to(device)
    if device != "cpu":
        yield Case("layered grammar, all conditionals", "sentences", conditionals(layered, 32_768))
        yield Case("liu2022-hmm, float64", "sentences", conditionals(blocks, 65_536))
        yield Case("liu2022-hmm, float32", "sentences", conditionals(blocks, 65_536, torch.float32))
        yield from (case for case in sampler_cases(layered, blocks, seeds))
        return
    yield from pcfg_cases(layered, load_language(UNLAYERED), load_language(TREEBANK))
    yield from hmm_cases(load_language(DENSE_HMM), blocks, load_language(WEI))
    yield from sampler_cases(layered, blocks, seeds)
    yield from corpus_cases(folder, seeds)


def peak_megabytes(source: dict[str, Any], n: int) -> tuple[float, float]:
    """Resident memory of a process at most before, and while, it computes all conditionals of n sentences."""
    language = load_language(source)
    tokens, before = sample(language, n), resident_megabytes()
    language.conditional(tokens)
    return before, resident_megabytes()


def resident_megabytes() -> float:
    """The most so far. What getrusage says includes the process that this one was started from."""
    status = Path("/proc/self/status").read_text()
    return float(status.split("VmHWM:")[1].split()[0]) / 1e3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=at_least_two, default=5)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--only", default="", help="cases whose name has this in it; no growth then")
    parser.add_argument("--out", type=Path, default=Path("results/benchmarks"))
    given = parser.parse_args()
    # torch-struct is of 2021 and warns about what has changed since.
    warnings.simplefilter("ignore")
    given.out.mkdir(parents=True, exist_ok=True)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for case in cases(given.device, Path(folder)):
            if given.only not in case.name:
                continue
            rows.append(measure(case, given.rounds, given.device))
            print(table(rows[-1:]).splitlines()[1] if len(rows) > 1 else table(rows), flush=True)
    content = {"machine": machine(given.device), "rows": rows}
    if given.device == "cpu" and not given.only:
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            content["memory_mb_1000_symbols"] = pool.apply(peak_megabytes, (TREEBANK, 32))
    (given.out / f"languages-{given.device}.json").write_text(json.dumps(content, indent=1) + "\n")
    if given.device == "cpu" and not given.only:
        draw_growth(given.out)


if __name__ == "__main__":
    main()
