"""Does halving find what the whole grid finds? Studies of 27 configurations on digits, once whole and once halved.

    python -m bench.halving            # 10 studies of 27 configurations, 3 seeds each, 9 epochs
    python -m bench.halving --studies 1 --seeds 1 --epochs 4

Each study has seeds of its own, so other weights and another split. "found": halving ends with the configuration
that is the best of the whole grid by validation; "tied": with another one, which the report's own test (paired by
seed, Holm's correction over all pairs) doesn't tell apart from it; "missed": with one that it does. What came to
its end is held against the whole grid's runs, weights and metrics.csv but for the seconds, bit for bit.
"""

import argparse
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch

from cnnexp.reports.records import METRICS, read_runs, sweep_runs
from cnnexp.reports.study import Study, study

GRID = ("model.hidden=[8],[32],[128]", "optimizer.lr=1e-3,3e-3,1e-2", "model.dropout=0.0,0.25,0.5")
HALVING = ("hydra/sweeper=halving",)
FIXED = ("model=ffnn", "data.batch_size=128", "logger=none")


def sweep(folder: Path, seeds: Sequence[int], epochs: int, *more: str) -> Path:
    """Run a sweep over the grid and return its folder."""
    overrides = [*FIXED, *GRID, f"trainer.max_epochs={epochs}", f"seed={','.join(map(str, seeds))}"]
    command = [sys.executable, "-m", "cnnexp", "-m", *overrides, f"hydra.sweep.dir={folder}", *more]
    subprocess.run(command, check=True, capture_output=True)
    return folder


def epochs_of(of: Study) -> int:
    """Return how many epochs were trained."""
    return sum(len(run.record.history) for run in of.runs)


def same_bits(one: Path, other: Path) -> bool:
    """Return whether two runs have the same weights, and the same metrics.csv but for the seconds."""
    texts, weights = [], []
    for run in (one, other):
        rows = [line.split(",") for line in (run / METRICS).read_text().splitlines()]
        seconds = rows[0].index("seconds")
        texts.append([row[:seconds] + row[seconds + 1 :] for row in rows])
        weights.append(torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"])
    mine, theirs = weights
    return texts[0] == texts[1] and all(torch.equal(mine[key], theirs[key]) for key in mine.keys() | theirs.keys())


def one_study(number: int, seeds: int, epochs: int) -> tuple[str, float, float, int]:
    """Run a study both ways.

    Returns:
        found, tied or missed; the share of the epochs; how far the found one's mean validation accuracy in the
        whole grid lies below the best's; and how many runs came to their end, all with the same bits.
    """
    own = [number * seeds + i for i in range(seeds)]
    with tempfile.TemporaryDirectory() as folder:
        whole = sweep(Path(folder, "whole"), own, epochs)
        halved = sweep(Path(folder, "halved"), own, epochs, *HALVING)
        grid, found = (study(read_runs(sweep_runs(one)), baseline=()) for one in (whole, halved))
        ended = [run.record.folder for run in found.runs if run.completed]
        for run in ended:
            if not same_bits(run, whole / run.name):
                raise AssertionError(f"study {number}: {run.name} has other bits than the whole grid's")
        labels = [configuration.label for configuration in grid.configurations]
        index = labels.index(found.configurations[0].label)
        word = "found" if index == 0 else "missed" if grid.comparisons[index].is_real else "tied"
        best, this = (grid.configurations[i].mean("val_accuracy") or 0.0 for i in (0, index))
        return word, epochs_of(found) / epochs_of(grid), best - this, len(ended)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a line a study, and how many found the best or a tie; the exit status is 1 where one missed it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=10)
    parser.add_argument("--seeds", type=int, default=3, help="of each configuration")
    parser.add_argument("--epochs", type=int, default=9)
    parser.add_argument("--at-once", type=int, default=2, help="studies that are run at the same time")
    given = parser.parse_args(arguments)
    words: Counter[str] = Counter()
    shares, bits = [], 0
    with ThreadPoolExecutor(given.at_once) as pool:
        jobs = [pool.submit(one_study, number, given.seeds, given.epochs) for number in range(given.studies)]
        for number, job in enumerate(jobs):
            word, share, behind, ended = job.result()
            print(
                f"study {number}: {word}, {share:.0%} of the epochs, {100 * behind:.2f} points behind", flush=True
            )
            words[word] += 1
            shares.append(share)
            bits += ended
    print(
        f"{words['found'] + words['tied']} of {given.studies} found the whole grid's best ({words['found']}) or a "
        f"tie ({words['tied']}), with at most {max(shares):.0%} of the epochs; {bits} of {bits} runs that came to "
        "their end have the bits of uninterrupted ones"
    )
    return int(words["missed"] > 0)


if __name__ == "__main__":
    sys.exit(main())
