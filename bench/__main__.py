"""``python -m bench``: cnnexp, the tuned loop and the notebook's loop in turn, and one table of medians."""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bench.table import accuracy_table, cost_table, speed_table

REPOSITORY = Path(__file__).parents[1]
ALL = ("notebook", "tuned", "cnnexp")


@dataclass(frozen=True)
class Row:
    """A setting to time: so many steps, twice; the second pass counts, with everything warm."""

    model: str
    batch_size: int
    precision: str
    steps: int
    rounds: int = 3
    contenders: tuple[str, ...] = ALL


TWO = ("tuned", "cnnexp")
# VGG16 and bfloat16 without the notebook: what sets it apart, its data path, is in the other rows
FULL = [
    Row("cnn", 16, "32-true", 200, 2),
    Row("cnn", 128, "32-true", 40, 2),
    Row("cnn", 1024, "32-true", 6, 1),
    Row("ffnn", 16, "32-true", 1200, 2),
    Row("ffnn", 128, "32-true", 250, 2),
    Row("ffnn", 1024, "32-true", 40, 1),
    *(Row("cnn", size, "bf16-mixed", steps, 1, TWO) for size, steps in ((16, 200), (128, 40), (1024, 6))),
    *(Row("ffnn", size, "bf16-mixed", steps, 1, TWO) for size, steps in ((16, 1200), (128, 250), (1024, 40))),
    *(Row("vgg16", size, "32-true", steps, 1, TWO) for size, steps in ((16, 8), (128, 2), (1024, 1))),
    *(Row("vgg16", size, "bf16-mixed", steps, 1, TWO) for size, steps in ((16, 8), (128, 2), (1024, 1))),
]
QUICK = [
    Row("cnn", 16, "32-true", 100, 1),
    Row("ffnn", 16, "32-true", 600, 1),
    Row("ffnn", 128, "32-true", 200, 1),
]


def main() -> None:
    """Time what the arguments say and print it."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="three rows, once, in under two minutes")
    parser.add_argument("--json", action="store_true", help="print all readings as JSON")
    parser.add_argument("--root", default=os.environ.get("CNNEXP_DATA", "data"), help="folder that holds MNIST")
    parser.add_argument("--rounds", type=int, help="readings of each row, instead of the row's own number")
    a = parser.parse_args()
    chosen = QUICK if a.quick else FULL
    rows = [replace(row, rounds=a.rounds or row.rounds) for row in chosen]
    root = Path(a.root).absolute()
    # one of them fetches the data if need be, so that no timing does
    subprocess.run([sys.executable, "-c", _FETCH, str(root)], check=True, cwd=REPOSITORY)
    report: dict[str, Any] = {
        "machine": f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores",
        "rows": [timed(row, root) for row in rows],
        "time_to_99": None if a.quick else time_to_accuracy(root),
        "costs": costs(a.rounds or (1 if a.quick else 3)),
    }
    print(
        json.dumps(report, indent=2)
        if a.json
        else "\n\n".join(
            [
                speed_table(report["rows"]),
                *([accuracy_table(report["time_to_99"])] if report["time_to_99"] else []),
                cost_table(report["costs"]),
            ]
        )
    )


_FETCH = "import sys; from cnnexp import ImageDataModule; ImageDataModule('mnist', sys.argv[1]).prepare_data()"


def timed(row: Row, root: Path) -> dict:
    """Run a row's contenders in turn, A B C A B C …, each in a process of its own."""
    readings: dict[str, list[dict]] = {contender: [] for contender in row.contenders}
    for number in range(row.rounds):
        for contender in row.contenders:
            _progress(f"{row.model} {row.batch_size} {row.precision} {contender} {number + 1}/{row.rounds}")
            command = [
                sys.executable, "-m", "bench.worker", contender, "--model", row.model, "--root", str(root),
                "--batch-size", str(row.batch_size), "--precision", row.precision, "--steps", str(row.steps),
            ]  # fmt: skip
            done = subprocess.run(command, capture_output=True, text=True, cwd=REPOSITORY, check=False)
            if done.returncode:
                sys.exit(f"{' '.join(command)} failed:\n{done.stderr}")
            readings[contender].append(json.loads(done.stdout.splitlines()[-1]))
    milliseconds = {
        contender: [1000 * reading["seconds"][-1] / row.steps for reading in taken]
        for contender, taken in readings.items()
    }
    ours = milliseconds["cnnexp"]
    return {
        "model": row.model,
        "batch_size": row.batch_size,
        "precision": row.precision,
        "ms_per_step": {name: statistics.median(values) for name, values in milliseconds.items()},
        "all_ms_per_step": milliseconds,
        # pair by pair, so that a machine whose speed drifts doesn't decide
        "against": {
            name: statistics.median(mine / theirs for mine, theirs in zip(ours, values, strict=True))
            for name, values in milliseconds.items()
            if name != "cnnexp"
        },
        "peak_mib": {name: statistics.median(r["peak_mib"] for r in taken) for name, taken in readings.items()},
        "same_weights": len({r["weights"] for name in ("tuned", "cnnexp") for r in readings[name]}) == 1,
    }


def time_to_accuracy(root: Path, accuracy: float = 0.99, seeds: int = 3) -> dict[str, Any]:
    """Return the seconds, start-up included, until a network has that accuracy on MNIST's test set.

    The notebook's loop tests each epoch and stops once it is there; it runs once, it takes minutes. cnnexp trains
    as long as ``experiment=mnist_fast`` says and tests once, with several seeds.
    """
    _progress("time to 99 % on MNIST: notebook")
    command = [
        sys.executable, "-m", "bench.worker", "notebook", "--model", "cnn", "--root", str(root),
        "--epochs", "12", "--until", str(accuracy),
    ]  # fmt: skip
    begin = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, cwd=REPOSITORY, check=True)
    notebook = {
        "seconds": time.perf_counter() - begin,
        "accuracy": json.loads(done.stdout.splitlines()[-1])["accuracy"][-1],
    }
    ours = []
    for seed in range(seeds):
        _progress(f"time to 99 % on MNIST: cnnexp {seed + 1}/{seeds}")
        with tempfile.TemporaryDirectory() as folder:
            command = [
                sys.executable, "-m", "cnnexp", "experiment=mnist_fast", f"data.root={root}", f"seed={seed}",
            ]  # fmt: skip
            begin = time.perf_counter()
            subprocess.run(command, cwd=folder, check=True, capture_output=True)
            seconds = time.perf_counter() - begin
            [result] = Path(folder).glob("outputs/*/*/result.json")
            ours.append({"seconds": seconds, "accuracy": json.loads(result.read_text())["test_accuracy"]})
    return {"notebook": [notebook], "cnnexp": ours}


def costs(rounds: int) -> dict[str, float]:
    """Return the seconds of starting up, and of one more job in a sweep beyond its training."""
    tiny = [
        "model.channels=[4]", "model.hidden=[]", "trainer.max_epochs=1", "trainer.limit_train_batches=1",
    ]  # fmt: skip
    one, many = 2, 12
    return {
        "--help": _median_wall(["--help"], rounds),
        "--cfg job": _median_wall(["--cfg", "job"], rounds),
        "five epochs on digits": _median_wall([], rounds),
        "one more job in a sweep": (
            _median_wall([*tiny, "-m", f"seed=range({many})"], rounds)
            - _median_wall([*tiny, "-m", f"seed=range({one})"], rounds)
        )
        / (many - one),
    }


def _median_wall(arguments: list[str], rounds: int) -> float:
    walls = []
    for _ in range(rounds):
        _progress(f"python -m cnnexp {' '.join(arguments)}")
        with tempfile.TemporaryDirectory() as folder:
            begin = time.perf_counter()
            subprocess.run(
                [sys.executable, "-m", "cnnexp", *arguments], cwd=folder, check=True, capture_output=True
            )  # fmt: skip
            walls.append(time.perf_counter() - begin)
    return statistics.median(walls)


def _progress(text: str) -> None:
    print(f"  {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
