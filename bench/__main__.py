"""``python -m bench``: cnnexp, the tuned loop and the notebook's loop in turn; medians and their ranges."""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.idle import Machine
from bench.table import accuracy_table, cost_table, into_page, speed_table

REPOSITORY = Path(__file__).parents[1]
PAGE = REPOSITORY / "docs" / "performance.md"
ALL = ("notebook", "tuned", "cnnexp")
ROUNDS = 5


@dataclass(frozen=True)
class Row:
    """A setting to time: so many steps, twice; the second pass counts, with everything warm."""

    model: str
    batch_size: int
    precision: str
    steps: int
    contenders: tuple[str, ...] = ALL


TWO = ("tuned", "cnnexp")
STEPS = {
    "cnn": {16: 200, 128: 40, 1024: 6},
    "ffnn": {16: 1200, 128: 250, 1024: 40},
    "vgg16": {16: 8, 128: 2, 1024: 1},
}
# VGG16 and bfloat16 without the notebook: what sets it apart, its data path, is in the other rows
ROWS = [
    Row(model, size, precision, steps, TWO if model == "vgg16" or precision != "32-true" else ALL)
    for model, precision in (
        ("cnn", "32-true"), ("ffnn", "32-true"), ("cnn", "bf16-mixed"), ("ffnn", "bf16-mixed"),
        ("vgg16", "32-true"), ("vgg16", "bf16-mixed"),
    )
    for size, steps in STEPS[model].items()
]  # fmt: skip
QUICK = [Row("cnn", 16, "32-true", 100), Row("ffnn", 16, "32-true", 600), Row("ffnn", 128, "32-true", 200)]


def main() -> None:
    """Time what the arguments say; print the tables, write them and every reading to files where told to."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="three rows, once, in under two minutes")
    parser.add_argument(
        "--only", nargs="+", default=[""], metavar="NAME",
        help="tables and rows whose names begin so: 'ffnn 16 32-true', accuracy, costs; all when not given",
    )  # fmt: skip
    parser.add_argument("--rounds", type=int, help=f"readings of each row and contender, {ROUNDS} when not given")
    parser.add_argument(
        "--threads", type=int, default=os.cpu_count(), help="of each contender; all cores when not given"
    )
    parser.add_argument("--root", default=os.environ.get("CNNEXP_DATA", "data"), help="folder that holds MNIST")
    parser.add_argument("--json", type=Path, help="write every reading to this file")
    parser.add_argument("--page", action="store_true", help="put the tables into docs/performance.md")
    a = parser.parse_args()
    rounds = a.rounds or (1 if a.quick else ROUNDS)
    wanted = tuple(a.only)
    rows = [row for row in (QUICK if a.quick else ROWS) if _name(row).startswith(wanted)]
    root = Path(a.root).absolute()
    os.environ["OMP_NUM_THREADS"] = str(a.threads)
    machine = Machine()
    # one of them fetches the data if need be, so that no timing does
    subprocess.run([sys.executable, "-c", _FETCH, str(root)], check=True, cwd=REPOSITORY)
    report: dict[str, Any] = {"rows": [timed(row, root, rounds, machine) for row in rows]}
    if "accuracy".startswith(wanted) and not a.quick:
        report["time_to_99"] = time_to_accuracy(root)
    if "costs".startswith(wanted):
        report["costs"] = costs(rounds)
    report["machine"] = machine.facts() | {
        "threads": a.threads,
        "rounds": rounds,
        "date": time.strftime("%Y-%m-%d"),
    }
    tables = [speed_table(report["rows"])]
    if report.get("time_to_99"):
        tables.append(accuracy_table(report["time_to_99"]))
    if report.get("costs"):
        tables.append(cost_table(report["costs"]))
    tables.append(machine.told(report["machine"]))
    print("\n\n".join(tables))
    if a.json:
        a.json.write_text(json.dumps(report, indent=2) + "\n")
    if a.page:
        PAGE.write_text(into_page(PAGE.read_text(), tables))


_FETCH = "import sys; from cnnexp import ImageDataModule; ImageDataModule('mnist', sys.argv[1]).prepare_data()"


def _name(row: Row) -> str:
    return f"{row.model} {row.batch_size} {row.precision}"


def timed(row: Row, root: Path, rounds: int, machine: Machine) -> dict[str, Any]:
    """Run a row's contenders in turn, A B C B C A …, each in a process of its own."""
    readings: dict[str, list[dict[str, Any]]] = {contender: [] for contender in row.contenders}
    for number in range(rounds):
        machine.calibrate()
        first = number % len(row.contenders)  # no contender always comes after the same one
        for contender in row.contenders[first:] + row.contenders[:first]:
            _progress(f"{_name(row)} {contender} {number + 1}/{rounds}")
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
        "ms_per_step": milliseconds,
        # round by round, so that a machine whose speed drifts doesn't decide
        "against": {
            name: [mine / theirs for mine, theirs in zip(ours, values, strict=True)]
            for name, values in milliseconds.items()
            if name != "cnnexp"
        },
        "peak_mib": {name: statistics.median(r["peak_mib"] for r in taken) for name, taken in readings.items()},
        "same_weights": len({r["weights"] for name in TWO for r in readings[name]}) == 1,
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


def costs(rounds: int) -> dict[str, list[float]]:
    """Return the seconds of starting up, and of one more job in a sweep beyond its training; a number a round."""
    tiny = [
        "model.channels=[4]", "model.hidden=[]", "trainer.max_epochs=1", "trainer.limit_train_batches=1",
    ]  # fmt: skip
    one, many = 2, 12
    few, more = (
        _walls([*tiny, "-m", f"seed=range({one})"], rounds),
        _walls([*tiny, "-m", f"seed=range({many})"], rounds),
    )
    return {
        "--help": _walls(["--help"], rounds),
        "--cfg job": _walls(["--cfg", "job"], rounds),
        "a mistake that needs Lightning": _walls(["trainer.accelerator=tpu"], rounds, status=2),
        "five epochs on digits": _walls([], rounds),
        "one more job in a sweep": [(b - a) / (many - one) for a, b in zip(few, more, strict=True)],
    }


def _walls(arguments: list[str], rounds: int, status: int = 0) -> list[float]:
    walls = []
    for _ in range(rounds):
        _progress(f"python -m cnnexp {' '.join(arguments)}")
        with tempfile.TemporaryDirectory() as folder:
            begin = time.perf_counter()
            command = [sys.executable, "-m", "cnnexp", *arguments]
            done = subprocess.run(command, cwd=folder, capture_output=True, check=False)
            walls.append(time.perf_counter() - begin)
            assert done.returncode == status, done.stderr
    return walls


def _progress(text: str) -> None:
    print(f"  {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
