"""Speed of this checkout beside that of another one, in turns: whether a change has made anything slower.

    python benchmarks/versions.py OTHER [--rounds 5] [--only TEXT] [--threads 1] [--out FILE]

OTHER is the folder of another checkout, with its own environment in OTHER/.venv (`git worktree add OTHER COMMIT && make
-C OTHER`). Each side is one process that runs its own code, and its own cases of benchmarks/languages.py, training.py
and flatness_cases.py. The two take turns, case by case and round by round. A ratio above 1 says that this checkout is
the faster one; its standard error is over the rounds.
"""

import argparse
import csv
import json
import subprocess
from pathlib import Path
from typing import Any

from machine import machine
from timing import at_least_two, mean_and_error

HERE = Path(__file__).resolve().parent


class Side:
    """The process of a checkout. It names a case, then works whenever it is told to."""

    def __init__(self, checkout: Path, given: argparse.Namespace) -> None:
        python = checkout / ".venv" / "bin" / "python"
        if not python.is_file():
            raise SystemExit(f"versions.py: {python} does not exist; make an environment there: make -C {checkout}")
        command = [str(python), str(HERE / "versions_side.py"), str(checkout), str(given.threads), given.only]
        pipe, self.checkout = subprocess.PIPE, checkout
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, cwd=checkout)

    def ask(self, word: str) -> Any:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print(word, file=self.process.stdin, flush=True)
        answer = self.process.stdout.readline()
        if not answer:
            raise SystemExit(f"versions.py: the process of {self.checkout} ended; its message is above")
        return json.loads(answer)


def compare(sides: list[Side], rounds: int, only: str = "") -> list[dict[str, Any]]:
    """A row a case that both sides have; the first work of each is not counted."""
    found = []
    print(f"{'case':<46} {'this, units/s':>20} {'other, units/s':>20} {'ratio':>16}", flush=True)
    while (names := [side.ask("next") for side in sides])[0] is not None:
        if names[0] != names[1]:
            raise SystemExit(
                f"versions.py: the checkouts have other cases, {names[0]!r} and {names[1]!r}; name one by --only"
            )
        rates = [[float(side.ask("work")) for side in sides] for _ in range(rounds + 1)][1:]
        row: dict[str, Any] = {"case": names[0], "n": rounds}
        for name, values in (
            ("this", [pair[0] for pair in rates]),
            ("other", [pair[1] for pair in rates]),
            ("ratio", [pair[0] / pair[1] for pair in rates]),
        ):
            row[name], row[f"{name}_stderr"] = mean_and_error(values)
        found.append(row)
        sides_text = (f"{row[name]:,.4g} +- {row[f'{name}_stderr']:,.2g}" for name in ("this", "other"))
        ratio = f"{row['ratio']:.3f} +- {row['ratio_stderr']:.3f}"
        print(f"{row['case']:<46} {' '.join(f'{text:>20}' for text in sides_text)} {ratio:>16}", flush=True)
    if not found:
        raise SystemExit(f"versions.py: no case has {only!r} in its name; leave --only out to see all names")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("other", type=Path, metavar="OTHER")
    parser.add_argument("--rounds", type=at_least_two, default=5)
    parser.add_argument("--only", default="", help="cases whose name has this in it")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("results/benchmarks/versions-cpu.csv"))
    given = parser.parse_args()
    rows = compare([Side(HERE.parent, given), Side(given.other.resolve(), given)], given.rounds, given.only)
    given.out.parent.mkdir(parents=True, exist_ok=True)
    with given.out.open("w", newline="") as file:
        writer = csv.DictWriter(file, [*rows[0], "chip", "threads"], lineterminator="\n")
        writer.writeheader()
        writer.writerows(row | {"chip": machine("cpu")["chip"], "threads": given.threads} for row in rows)


if __name__ == "__main__":
    main()
