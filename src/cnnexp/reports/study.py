"""Runs put side by side: what is swept, and each configuration's numbers over its seeds."""

import contextlib
import math
import os
import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from cnnexp.errors import CnnexpError
from cnnexp.evaluation.answers import Answers
from cnnexp.reports.baseline import as_list, named
from cnnexp.reports.by_images import against_by_images
from cnnexp.reports.records import RunRecord
from cnnexp.reports.statistic import Statistic
from cnnexp.reports.swept import in_words, is_number, key_of, short_names, swept_settings
from cnnexp.reports.told_apart import Comparison, against
from cnnexp.reports.verdicts import NEEDED, Rule, Verdict, best_row, judge

NUMBERS = (
    "train_accuracy", "val_accuracy", "test_accuracy", "train_loss", "val_loss", "test_loss", "generalization_gap",
    "best_epoch", "epochs", "parameters", "train_seconds", "samples_per_second",
)  # fmt: skip
"""Numbers from a run's result.json, under the same names."""
IMAGES = {"train_accuracy": "train_eval_images", "val_accuracy": "val_images", "test_accuracy": "test_images"}
"""Where result.json says on how many images an accuracy was measured."""
FROM_CURVES = ("overfits_since", "val_loss_turned", "val_accuracy_turned", "val_loss_rise", "final_gap")
"""Numbers from its verdict."""
_NOT_OWN = {
    *NUMBERS, *FROM_CURVES, "epoch", "seconds", "learning_rate", "running_loss", "running_accuracy",
    "train_images", "train_eval_images", "val_images", "running_images", "test_images", "test_looks",
    "majority_baseline", "val_loss_se",
    # other columns of the leaderboard and of report.csv
    "runs", "folder", "status", "verdict", "model", "data", "seed", "device", "config_hash", "git_commit", "error",
}  # fmt: skip
_GRAVEST_FIRST = (
    "diverges", "overfits", "underfits", "fits", "stopped", "failed", "interrupted", "running", "unreadable",
    "unknown",
)  # fmt: skip


@dataclass(frozen=True)
class Judged:
    """A run with its numbers (None: unknown) and its verdict.

    ``name`` is its folder, as seen from the nearest folder that holds all runs. The numbers of a run that hasn't
    ended well are those of its best epoch so far.
    """

    record: RunRecord
    name: str
    numbers: Mapping[str, float | None]
    verdict: Verdict

    @property
    def completed(self) -> bool:
        """Whether the run came to its end."""
        return self.record.status == "completed"

    @property
    def seed(self) -> tuple[Any, Any]:
        """What was drawn by: the run's seed, and its data's."""
        return self.record.settings.get("seed"), self.record.settings.get("data.seed")

    @property
    def test_numbers(self) -> list[str]:
        """The keys of what was measured on the test set."""
        return [key for key, value in self.numbers.items() if key.startswith("test_") and value is not None]

    @property
    def word(self) -> str:
        """The verdict in a word; the status instead, for a run that has no curves."""
        known = (self.verdict.word != "unknown" or self.completed) and self.record.status != "stopped"
        return self.verdict.word if known else self.record.status


@dataclass(frozen=True)
class Configuration:
    """Runs that differ in nothing but their seeds."""

    values: Mapping[str, Any]  # of the swept settings; a setting that its network, say, doesn't have is missing
    label: str  # the same in words
    runs: Sequence[Judged]

    @property
    def counted(self) -> Sequence[Judged]:
        """The runs that ``numbers`` are over: the completed ones, or all where none is; of a seed only the last.

        A seed that was run twice says nothing that it hasn't said already.
        """
        runs = [run for run in self.runs if run.completed] or self.runs
        return list({run.seed if run.record.settings else run.name: run for run in runs}.values())

    @cached_property
    def numbers(self) -> Mapping[str, Statistic]:
        """Each number over the seeds; one that no run has is missing."""
        numbers = {}
        for key in self.runs[0].numbers:
            known = [run for run in self.counted if run.numbers[key] is not None]
            if known:
                images = {run.record.result.get(IMAGES.get(key, "")) for run in known}
                measured = images.pop() if len(images) == 1 else None
                values = tuple(run.numbers[key] or 0.0 for run in known)
                numbers[key] = Statistic(values, measured if isinstance(measured, int) else None)
        return numbers

    def by_seed(self, key: str) -> dict[Any, float]:
        """Return a number of the completed runs, for each seed that has it."""
        known = {run.seed: run.numbers[key] for run in self.counted if run.completed}
        return {seed: value for seed, value in known.items() if value is not None}

    @property
    def answers(self) -> Answers | None:
        """What its network answered on its validation images; None where that isn't known, or of several."""
        [run, *others] = self.counted
        answers = run.record.answers if run.completed and not others else None
        # a file that isn't of this result.json, as when somebody has put it there
        return answers if answers is not None and answers.agrees(run.numbers["val_accuracy"]) else None

    @property
    def completed(self) -> int:
        """How many of the runs came to their end."""
        return sum(run.completed for run in self.runs)

    @property
    def stopped(self) -> bool:
        """Whether its runs were stopped on purpose before their end: nothing is said of it beside the others."""
        return not self.completed and any(run.record.status == "stopped" for run in self.runs)

    @property
    def stopped_after(self) -> int:
        """After how many epochs they were, the most of them."""
        return max(int(run.numbers["epochs"] or 0) for run in self.runs)

    @property
    def overfitting(self) -> list[Judged]:
        """The counted runs that overfit."""
        return [run for run in self.counted if run.verdict.word == "overfits"]

    def turned(self, metric: str) -> int | None:
        """Return where validation loss or accuracy turned, the lower median, if half of the runs or more did.

        ``metric`` is ``loss`` or ``accuracy``.
        """
        turns = [getattr(run.verdict, f"{metric}_turned") for run in self.counted]
        known = [turn for turn in turns if turn is not None]
        return statistics.median_low(known) if known and 2 * len(known) >= len(turns) else None

    @property
    def verdict(self) -> str:
        """The verdict on most of the counted runs, with the median epoch and the share where they differ."""
        if self.stopped:
            return f"stopped at epoch {self.stopped_after}"
        # the most frequent word, the gravest of equally frequent ones
        words = sorted((run.word for run in self.counted), key=_GRAVEST_FIRST.index)
        word = statistics.mode(words)
        since = _since([run for run in self.counted if run.word == word])
        text = word if since is None else f"{word} from {since}"
        return text if words.count(word) == len(words) else f"{text} ({words.count(word)} of {len(words)})"

    def mean(self, key: str) -> float | None:
        """Return a number's mean, None where no run has it."""
        return self.numbers[key].mean if key in self.numbers else None


def _since(runs: Sequence[Judged]) -> int | None:
    known = [run.verdict.since for run in runs if run.verdict.since is not None]
    return statistics.median_low(known) if known else None


def _place(configuration: Configuration) -> tuple[float, float, float]:
    # those that were stopped last, the longest of them first
    stopped = 1 / (1 + configuration.stopped_after) if configuration.stopped else 0.0
    accuracy, loss = configuration.mean("val_accuracy"), configuration.mean("val_loss")
    # with a small validation set many have the same accuracy
    return stopped, math.inf if accuracy is None else -accuracy, math.inf if loss is None else loss


@dataclass(frozen=True)
class Study:
    """All runs, and the configurations among them: highest validation accuracy first, then lowest validation loss.

    ``swept`` are the keys of the settings that differ; ``own_numbers`` are the names of a user's own numbers.
    ``baseline`` is the index of the configuration that the others are compared with, where one was named;
    otherwise they are compared with the best. ``hides_test`` is whether only the first configuration keeps its
    test numbers.
    """

    swept: Sequence[str]
    own_numbers: Sequence[str]
    runs: Sequence[Judged]
    configurations: Sequence[Configuration]
    rule: Rule
    baseline: int | None = None
    hides_test: bool = False

    @cached_property
    def compared(self) -> "Study":
        """The study without what was stopped before its end, which no sentence compares with the rest."""
        kept = [configuration for configuration in self.configurations if not configuration.stopped]
        if len(kept) == len(self.configurations):
            return self
        runs = {id(run) for configuration in kept for run in configuration.runs}
        reference = self.baseline if self.baseline is not None and self.baseline < len(kept) else None
        return replace(
            self, configurations=kept, runs=[run for run in self.runs if id(run) in runs], baseline=reference
        )

    @cached_property
    def comparisons(self) -> Mapping[int, Comparison]:
        """Each configuration's validation accuracy against that of the best, or of the baseline, by index.

        By seeds; where no configuration has two, their networks are compared by images.
        """
        compared = self.compared.configurations
        values = [configuration.by_seed("val_accuracy") for configuration in compared]
        if len(values) < 2 or (self.baseline or 0) >= len(values):
            return {}
        found = against(self.baseline or 0, values, self.baseline is None, self.sequential)
        if all(len(seeds) < 2 for seeds in values):
            answers = [configuration.answers for configuration in compared]
            found |= against_by_images(self.baseline or 0, answers, self.baseline is None)
        return found

    @property
    def sequential(self) -> bool:
        """Whether a sweep went on until its configurations were told apart (``settle=true``)."""
        return any(run.record.settings.get("settle.enabled") is True for run in self.runs)

    @property
    def by_settings(self) -> list[Configuration]:
        """The configurations in the order of their settings."""
        return sorted(
            self.configurations,
            key=lambda c: [key_of(c.values[key]) if key in c.values else (4,) for key in self.swept],
        )


def study(
    records: Sequence[RunRecord],
    rule: Rule = Rule(),  # noqa: B008  (frozen)
    baseline: Sequence[str] | None = None,
    reveal: bool = False,
) -> Study:
    """Judge runs and group them by everything but their seeds.

    Args:
        records: the runs.
        rule: of the verdicts.
        baseline: settings that name the configuration to compare the others with; empty: the best is; None: what
            all runs' records name, if that is one of them.
        reveal: whether the test numbers of all configurations are kept, not only of the best by validation:
            what isn't kept can't be shown.

    Raises:
        CnnexpError: where the baseline doesn't name one configuration.
    """
    swept = swept_settings(records)
    parents = {record.folder.absolute().parent for record in records}
    above = os.path.commonpath(parents) if parents else ""
    own = _own_numbers(records)
    groups: dict[Any, list[Judged]] = defaultdict(list)
    runs = []
    for record in records:
        verdict = judge(record.history, record.images("train_eval"), record.images("val"), rule)
        name = record.folder.absolute().relative_to(above).as_posix()
        runs.append(Judged(record, name, _numbers(record, verdict, own), verdict))
        # a run whose settings can't be read stands alone
        alone = "" if record.settings else str(record.folder)
        groups[key_of(_values(record, swept)), alone].append(runs[-1])
    configurations = sorted((_configuration(members, swept) for members in groups.values()), key=_place)
    reference = _reference(baseline, records, [c.values for c in configurations])
    hidden: dict[int, Judged] = {}
    if not reveal:
        others = [run for c in configurations[1:] for run in c.runs if run.test_numbers]
        hidden = {
            id(run): replace(run, numbers={**run.numbers, **dict.fromkeys(run.test_numbers)}) for run in others
        }
        runs = [hidden.get(id(run), run) for run in runs]
        configurations = [replace(c, runs=[hidden.get(id(run), run) for run in c.runs]) for c in configurations]
    return Study(swept, own, runs, configurations, rule, reference, bool(hidden))


def _reference(
    baseline: Sequence[str] | None, records: Sequence[RunRecord], configurations: Sequence[Mapping[str, Any]]
) -> int | None:
    """Return the index of the baseline's configuration, None for the best."""
    if baseline is not None:
        return named(baseline, configurations) if baseline else None
    first, *others = [as_list(record.settings.get("baseline")) for record in records] or [[]]
    if not first or any(other != first for other in others):
        return None
    with contextlib.suppress(CnnexpError):  # it may not have begun
        return named(first, configurations)
    return None


def _values(record: RunRecord, swept: Sequence[str]) -> dict[str, Any]:
    return {key: record.settings[key] for key in swept if key in record.settings}


def _own_numbers(records: Sequence[RunRecord]) -> list[str]:
    """Return the names of the numbers that a user's own metrics have added, in the order they were met.

    They are the train_, val_ and test_ numbers of result.json, and the columns of metrics.csv, beyond those that
    every run has.
    """
    names: dict[str, None] = {}
    for record in records:
        names |= dict.fromkeys(key for row in record.history for key in row)
        measured = [key for key in record.result if key.startswith(("train_", "val_", "test_"))]
        names |= dict.fromkeys(key for key in measured if _is_known(record.result[key]))
    return [key for key in names if key not in _NOT_OWN]


def _configuration(runs: Sequence[Judged], swept: Sequence[str]) -> Configuration:
    record = runs[0].record
    values = _values(record, swept)
    if values:
        label = in_words(values, short_names(swept))
    elif record.settings:
        label = f"{record.settings.get('model', '?')} on {record.settings.get('data', '?')}"
    else:
        label = runs[0].name
    return Configuration(values, label, runs)


def _numbers(record: RunRecord, verdict: Verdict, own: Sequence[str]) -> dict[str, float | None]:
    numbers: dict[str, float | None] = dict.fromkeys((*NUMBERS, *FROM_CURVES, *own))
    so_far = [row for row in record.history if all(key in row for key in NEEDED)]
    if so_far:
        best = best_row(so_far)
        numbers |= {key: best[key] for key in (*NEEDED, *own) if key in best and key != "epoch"}
        numbers["generalization_gap"] = best["train_accuracy"] - best["val_accuracy"]
        numbers["best_epoch"], numbers["epochs"] = best["epoch"], record.history[-1].get("epoch")
        numbers["train_seconds"] = sum(row.get("seconds", 0.0) for row in record.history)
    numbers |= {key: record.result[key] for key in (*NUMBERS, *own) if _is_known(record.result.get(key))}
    since = verdict.since if verdict.word == "overfits" else None
    said = (since, verdict.loss_turned, verdict.accuracy_turned, verdict.rise, verdict.gap)
    numbers |= zip(FROM_CURVES, said, strict=True)
    # the mean of a loss that is no number says nothing
    return {key: value if _is_known(value) else None for key, value in numbers.items()}


def _is_known(value: Any) -> bool:
    return is_number(value) and math.isfinite(value)
