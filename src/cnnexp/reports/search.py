"""What a search has found: its best trial, the importance of each parameter, and a figure of both."""

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullLocator

from cnnexp.errors import CnnexpError
from cnnexp.reports.against import tick_label
from cnnexp.reports.figures import FAINT, TRAIN, VAL, label_axes, new_figure
from cnnexp.reports.swept import in_words, short_names, shortened
from cnnexp.runs import read_json

SEARCH = "search.json"
MOST_SETTINGS = 6
FAILED = "#b3261e"


@dataclass(frozen=True)
class Trial:
    """One trial: its parameters, and its validation accuracy (``value``; None where it has none)."""

    number: int
    state: str
    value: float | None
    params: Mapping[str, Any]
    folder: str | None

    @property
    def percent(self) -> float:
        """The validation accuracy in per cent."""
        return 100 * (self.value or 0.0)


@dataclass(frozen=True)
class Search:
    """A search, as search.json describes it in the folder of its runs."""

    study: str  # its name
    direction: str  # maximize or minimize
    n_trials: int  # how many trials it is to have
    distributions: Mapping[str, str]  # what each parameter may be, as Optuna writes it in JSON
    trials: Sequence[Trial]  # those that have begun, in their order

    @property
    def completed(self) -> list[Trial]:
        """The trials that have a value."""
        return [trial for trial in self.trials if trial.state == "COMPLETE" and trial.value is not None]


def quiet_optuna() -> Any:
    """Return the package ``optuna`` with its log switched off; raises ImportError where it isn't installed."""
    # it logs how Optuna sets its database up
    logging.getLogger("alembic").setLevel(logging.WARNING)
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


def described(study: Any, name: str, n_trials: int) -> dict[str, Any]:
    """Return an ``optuna.Study`` as the content of search.json, which `reported` reads."""
    from optuna.distributions import distribution_to_json

    trials = study.trials
    kinds = {key: distribution_to_json(kind) for t in trials for key, kind in t.distributions.items()}
    noted = [Trial(t.number, t.state.name, t.value, t.params, t.user_attrs.get("cnnexp.folder")) for t in trials]
    return asdict(Search(name, study.direction.name.lower(), n_trials, kinds, noted))


def reported(folder: Path) -> tuple[list[str], Figure | None]:
    """Return the search that a folder's search.json describes in sentences, and as a figure if it has a result.

    There are no sentences where the folder is no search's, or the file is damaged.
    """
    try:
        noted = read_json(folder / SEARCH) or {}
        search = Search(**{**noted, "trials": [Trial(**trial) for trial in noted["trials"]]})
    except (CnnexpError, TypeError, KeyError):
        return [], None
    shares = _importances(search)
    return _told(search, shares), _draw(search, shares) if search.completed else None


def _importances(search: Search) -> dict[str, float]:
    """Return each parameter's share in the variance of the values, the largest first.

    By fANOVA: Hutter et al., An efficient approach for assessing hyperparameter importance, ICML 2014. Empty where
    Optuna isn't installed, or too few trials differ to tell.
    """
    completed = [trial for trial in search.completed if trial.params.keys() == search.distributions.keys()]
    if len({trial.value for trial in completed}) < 2 or not search.distributions:
        return {}
    try:
        optuna = quiet_optuna()
        from optuna.distributions import json_to_distribution

        kinds = {key: json_to_distribution(kind) for key, kind in search.distributions.items()}
        study = optuna.create_study(direction=search.direction)
        for trial in completed:
            numbers = {"value": trial.value, "params": dict(trial.params), "distributions": dict(kinds)}
            study.add_trial(optuna.trial.create_trial(**numbers))
        evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
        return dict(optuna.importance.get_param_importances(study, evaluator=evaluator))
    except (ImportError, RuntimeError, ValueError):  # or no parameter made a difference
        return {}


def _told(search: Search, shares: Mapping[str, float]) -> list[str]:
    """Return the search in sentences: how far it is, the best so far, what mattered."""
    names = short_names(list(search.distributions))
    states = [trial.state for trial in search.trials]
    over = len(states) - states.count("RUNNING") - states.count("WAITING")
    failed = f", {states.count('FAIL')} failed" if "FAIL" in states else ""
    lines = [f"Study {search.study}: {over} of {search.n_trials} trials done{failed}."]
    if search.completed:
        choose = max if search.direction == "maximize" else min
        best = choose(search.completed, key=lambda trial: trial.percent)
        settings = in_words(best.params, names)
        lines.append(f"Best so far: trial {best.number}, {best.percent:.2f} % validation accuracy, {settings}.")
    if shares:
        parts = ", ".join(f"{names[key]} {100 * share:.0f} %" for key, share in shares.items())
        lines.append(f"Importance (fANOVA, over {len(search.completed)} trials): {parts}.")
    return lines


def _draw(search: Search, shares: Mapping[str, float]) -> Figure:
    """Draw each trial's validation accuracy in order, the importances, and the accuracy against each parameter."""
    keys = list(search.distributions)[:MOST_SETTINGS]
    names = short_names(list(search.distributions))
    rows = -(-len(keys) // 3)
    title = f"Study {search.study}; the later a trial, the stronger its colour"
    figure = new_figure(10.5, 3.1 + 2.7 * rows, title)
    grid = figure.add_gridspec(1 + rows, 3)
    history, bars = figure.add_subplot(grid[0, :2]), figure.add_subplot(grid[0, 2])
    _draw_history(history, search)
    if shares:
        labels = [shortened(names[key], 22) for key in shares]
        drawn = bars.barh(labels, [100 * share for share in shares.values()], color=TRAIN)
        bars.bar_label(drawn, fmt="%.0f", fontsize=8, padding=2)
        bars.invert_yaxis()
        bars.set_xlim(0, 112)
        label_axes(bars, "importance, % (fANOVA)")
        bars.grid(False)
    else:
        bars.set_axis_off()
        bars.text(0.5, 0.5, "too few trials\nto tell importances", ha="center", va="center", color=FAINT)
    for number, key in enumerate(keys):
        axes = figure.add_subplot(grid[1 + number // 3, number % 3])
        _draw_against(axes, search, key)
        label_axes(axes, names[key], "" if number % 3 else "validation accuracy, %")
    return figure


def _draw_history(axes: Any, search: Search) -> None:
    numbers, found = zip(*((trial.number, trial.percent) for trial in search.completed), strict=True)
    axes.scatter(numbers, found, s=18, color=VAL, label="trial")
    best = np.maximum if search.direction == "maximize" else np.minimum
    axes.step(numbers, best.accumulate(found), where="post", color=TRAIN, linewidth=1.4, label="best so far")
    failed = [trial.number for trial in search.trials if trial.state == "FAIL"]
    if failed:
        bottom = axes.get_ylim()[0]
        axes.scatter(failed, [bottom] * len(failed), marker="x", s=30, color=FAILED, label="failed", clip_on=False)
    label_axes(axes, "trial", "validation accuracy, %")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(fontsize=8, loc="best")


def _draw_against(axes: Any, search: Search, key: str) -> None:
    """Draw the accuracy against one parameter; names stand side by side."""
    trials = [trial for trial in search.completed if key in trial.params]
    distribution = json.loads(search.distributions[key])
    choices = distribution["attributes"].get("choices")
    values = [trial.params[key] for trial in trials]
    if choices is not None:
        labels = [tick_label(key, choice, 12) for choice in choices]
        axes.set_xticks(range(len(choices)), labels)
        axes.set_xlim(-0.5, len(choices) - 0.5)
        values = [choices.index(value) for value in values]
    elif "Log" in distribution["name"] or distribution["attributes"].get("log"):
        axes.set_xscale("log")
        axes.xaxis.set_minor_locator(NullLocator())
    axes.scatter(
        values, [trial.percent for trial in trials], c=range(len(trials)), cmap="Blues",
        vmin=-len(trials), s=22, edgecolors=FAINT, linewidths=0.4,
    )  # fmt: skip
