"""Seconds from a fresh clone to the first figure, by part. Clone, environment and study lie in a new folder.

    python benchmarks/first_figure.py --out docs/benchmarks/first-figure-cpu.json

The parts: clone; environment and installation, as `make` does it; the first import; compilation of the passes; the same
import and passes again; the study of `make demo`, of which training, measurements and the rest (drawing, the report,
starting processes) are told apart by the `seconds` of its rows.
"""

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
IMPORT = "import satlab.lab.cli.main, satlab.flatness, satlab.probes, satlab.train.trainer, matplotlib.pyplot"
PASSES = """
from satlab.generators import load_language
from satlab.randomness import random_stream
language = load_language("demo-pcfg")
language.conditional(language.sample(64, random_stream(0, "corpus")).tokens)
"""


def seconds_of(command: list[str], folder: Path) -> float:
    begun = time.perf_counter()
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    environment |= {"NUMBA_CACHE_DIR": str(folder / "compiled"), "OMP_NUM_THREADS": "1"}
    subprocess.run(command, cwd=folder, env=environment, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - begun


def seconds_in_rows(study: Path) -> dict[str, float]:
    """Training and measuring, summed over the rows; probes that share features share their seconds."""
    rows = {name: [] for name in ("metrics", "results")}
    for name, found in rows.items():
        for path in [*study.glob(f"runs/*/{name}.jsonl"), *([study / "baselines.jsonl"] * (name == "results"))]:
            found += [json.loads(line) for line in path.read_text().splitlines()]
    measured = {(row["model"], row["seed"], row["step"], row["what"], row["seconds"]) for row in rows["results"]}
    return {
        "training, summed over processes": sum(row["seconds"] for row in rows["metrics"]),
        "measurements, summed over processes": sum(key[-1] or 0 for key in measured),
    }


def parts_of(folder: Path) -> dict[str, float]:
    """part -> seconds, in the order in which they happen."""
    clone, python = folder / "satlab", ".venv/bin/python"
    found = {"clone": seconds_of(["git", "clone", "-q", str(ROOT), str(clone)], folder)}
    found["environment and installation"] = seconds_of(["make", ".venv/done"], clone)
    found["first import"] = seconds_of([python, "-c", IMPORT], clone)
    found["import again"] = seconds_of([python, "-c", IMPORT], clone)
    found["import and passes, compiling them"] = seconds_of([python, "-c", PASSES], clone)
    found["import and passes, compiled"] = seconds_of([python, "-c", PASSES], clone)
    found["study of the demo"] = seconds_of(["make", "demo"], clone)
    found |= seconds_in_rows(clone / "results/demo")
    again = [".venv/bin/satlab", "plot", "results/demo"]
    found["figures drawn again"] = seconds_of(again, clone)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="the JSON file of the numbers")
    given = parser.parse_args()
    load = os.getloadavg()
    with tempfile.TemporaryDirectory() as folder:
        found = parts_of(Path(folder))
    about = {
        "date": datetime.now(UTC).date().isoformat(),
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "installer": "uv" if shutil.which("uv") else "pip",
        "load_before": load[0],
        "load_after": os.getloadavg()[0],
        "n": 1,
    }
    given.out.write_text(json.dumps(about | {"seconds": found}, indent=1) + "\n")
    sys.stdout.write("| part | seconds |\n|---|---|\n")
    sys.stdout.writelines(f"| {part} | {seconds:.1f} |\n" for part, seconds in found.items())


if __name__ == "__main__":
    main()
