"""``task=compare``: several runs side by side, and whether their difference is more than chance."""

import logging
import statistics
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from string import ascii_uppercase
from typing import Annotated, Any

import torch.nn.functional as F
from annotated_types import Ge

from cnnexp.command.typed import typed
from cnnexp.data.preprocessing import Preprocessing
from cnnexp.errors import CnnexpError
from cnnexp.evaluation.cost import multiply_adds, seconds_per_thousand
from cnnexp.evaluation.intervals import holm, mcnemar, wilson_interval
from cnnexp.evaluation.predictions import Predictions, predict_test
from cnnexp.job.build import build_trainer
from cnnexp.job.figures import save_figures
from cnnexp.job.find_runs import find_runs, require_same_test
from cnnexp.job.job import Job
from cnnexp.job.load import LoadedRun, data_state, load_run
from cnnexp.job.looks import count_looks
from cnnexp.reports.comparison import comparison_table, configurations_table, draw_comparison, pairs_table
from cnnexp.reports.records import read_runs
from cnnexp.reports.statistic import Statistic
from cnnexp.reports.study import study
from cnnexp.reports.tables import shown, write_csv
from cnnexp.reports.told_apart import Values, against
from cnnexp.runs import read_result

log = logging.getLogger(__name__)

MOST_RUNS = len(ascii_uppercase)


def compare(
    job: Job, runs: list[str], timed_batch_size: Annotated[int, Ge(1)] = 250, rounds: Annotated[int, Ge(1)] = 5
) -> None:
    """Put runs side by side: accuracy, size, cost, and whether their differences are more than chance.

    Runs that differ in nothing but their seeds are one configuration; configurations are compared by the seeds
    that they share. Where each has a single run, the networks are, by McNemar's test on the test images.
    """
    job.record(model=None, data=None, seed=None)
    if job.config.run is not None:
        raise CnnexpError(
            f"task=compare is about several runs: type task.runs=[{job.config.run},…] instead of run="
        )
    if job.config.checkpoint not in ("best", "last"):
        raise CnnexpError(f"checkpoint={job.config.checkpoint} is one run's; task=compare takes best or last")
    folders = find_runs(runs)
    if not 2 <= len(folders) <= MOST_RUNS:
        found = f": {', '.join(map(str, folders))}" if folders else ""
        raise CnnexpError(
            f"task.runs names {len(folders)} finished run{'' if len(folders) == 1 else 's'}"
            f"{found if len(folders) < 2 else ''}; task=compare takes 2 to {MOST_RUNS}"
        )
    loaded = [load_run(folder, job.config.checkpoint) for folder in folders]
    if typed("data.root"):
        for run in loaded:
            run.data.root = job.config.data.root
    rows, pairs = _compare(job, loaded, timed_batch_size, rounds)
    write_csv(job.folder / "comparison.csv", rows)
    write_csv(job.folder / "mcnemar.csv", pairs)
    configurations, differences = by_configuration(folders, [row["test_accuracy"] for row in rows])
    told = pairs_table(pairs, rows[0]["test_images"])
    if differences:
        write_csv(job.folder / "differences.csv", differences)
        told = configurations_table(configurations, differences)
    save_figures(job, {"comparison": draw_comparison(rows)})
    job.record(runs=rows, pairs=pairs, differences=differences, device=rows[0]["device"])
    count_looks(job, loaded[0].data, rows[0]["test_images"], *(row["test_accuracy"] for row in rows))
    log.info("%s\n\n%s", comparison_table(rows, timed_batch_size), told)
    log.info("files: %s", shown(job.folder))


def _compare(
    job: Job, runs: Sequence[LoadedRun], timed_batch_size: int, rounds: int
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return a row a run and a row a pair of runs; the job's device and precision count."""
    states = [data_state(run) for run in runs]
    require_same_test(runs, [state["class_names"] for state in states])
    every: list[Predictions] = []
    for run, state in zip(runs, states, strict=True):
        run.data.load_state_dict(state)
        trainer = build_trainer(job.config, job.folder)
        every.append(predict_test(trainer, run.model, run.data))
    device = trainer.strategy.root_device
    batches = []
    for run, state in zip(runs, states, strict=True):
        run.model.to(device).eval()
        some = run.data.images("test", range(min(timed_batch_size, run.data.sizes["test"])))
        batches.append(Preprocessing.of_state(state)(some.to(device)))
    times = seconds_per_thousand([run.model for run in runs], batches, rounds)
    rows = [
        {"run": letter, **_row(run, predictions), "seconds_per_thousand": seconds, "device": str(device)}
        for letter, run, predictions, seconds in zip(ascii_uppercase, runs, every, times, strict=False)
    ]
    pairs: list[dict[str, Any]] = []
    for (first, one), (second, other) in combinations(zip(ascii_uppercase, every, strict=False), 2):
        test = mcnemar(one.correct, other.correct)
        pairs.append({
            "first": first, "second": second, "difference": one.accuracy - other.accuracy,
            "only_first_right": test.only_first, "only_second_right": test.only_second, "p_value": test.p_value,
        })  # fmt: skip
    adjusted = holm([pair["p_value"] for pair in pairs])
    return rows, [{**pair, "p_value_holm": p} for pair, p in zip(pairs, adjusted, strict=True)]


def by_configuration(
    folders: Sequence[Path], accuracies: Sequence[float]
) -> tuple[dict[str, Statistic], list[dict[str, Any]]]:
    """Return the test accuracy of each configuration over its seeds, by name, and a row a pair of them.

    Both are empty where no two runs are of one configuration. Of a seed given twice the last run counts.

    Args:
        folders: of the runs.
        accuracies: the test accuracy of each, a fraction.
    """
    measured = dict(zip(folders, accuracies, strict=True))
    configurations = study(read_runs(folders)).configurations
    values: list[Values] = [
        {run.seed: measured[run.record.folder] for run in one.counted} for one in configurations
    ]
    if len(configurations) < 2 or all(len(one.runs) == 1 for one in configurations):
        return {}, []
    rows = []
    for first, second in combinations(range(len(values)), 2):
        # the name of none was said beforehand: adjusted for all pairs
        found = against(first, values, chosen_by_them=True)[second]
        difference = found.difference
        rows.append({
            "first": configurations[first].label, "second": configurations[second].label,
            "seeds": difference.pairs if difference else 0,
            "difference": difference and difference.mean, "half_width": difference and difference.half_width,
            "p_value_holm": found.p_value, "more_seeds": found.more_seeds,
        })  # fmt: skip
    names = {
        one.label: Statistic(tuple(seeds.values())) for one, seeds in zip(configurations, values, strict=True)
    }
    return names, rows


def _row(run: LoadedRun, predictions: Predictions) -> dict[str, Any]:
    right, count = int(predictions.correct.sum()), len(predictions.labels)
    low, high = wilson_interval(right, count)
    result = read_result(run.folder) or {}
    seconds = [row["seconds"] for row in run.model.history]
    loss = F.nll_loss(predictions.probabilities.double().clamp(min=1e-300).log(), predictions.labels)
    return {
        "model": result.get("model") or type(run.model).__name__.lower(),
        "folder": str(shown(run.folder.absolute())),
        "test_images": count,
        "test_accuracy": predictions.accuracy,
        "low": low,
        "high": high,
        "test_loss": loss.item(),
        "parameters": run.model.parameter_count,
        "multiply_adds": multiply_adds(run.model),
        "seconds_per_epoch": statistics.median(seconds) if seconds else float("nan"),
        "trained_on": result.get("device") or "",
    }
