"""What a search has found: its best trial, the importance of each parameter, and a figure of both."""

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullLocator

from cnnexp.errors import CnnexpError
from cnnexp.reports.against import plain, tick_label
from cnnexp.reports.figures import FAINT, TRAIN, VAL, label_axes, new_figure
from cnnexp.reports.swept import short_names, shortened, shown_value
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


@dataclass(frozen=True)
class Search:
    """A search, as search.json describes it in the folder of its runs.

    Attributes:
        study: its name.
        direction: maximize or minimize.
        n_trials: how many trials it is to have.
        distributions: what each parameter may be, as Optuna writes it in JSON.
        trials: those that have begun, in their order.
    """

    study: str
    direction: str
    n_trials: int
    distributions: Mapping[str, str]
    trials: Sequence[Trial]

    @property
    def completed(self) -> list[Trial]:
        """The trials that have a value."""
        return [trial for trial in self.trials if trial.state == "COMPLETE" and trial.value is not None]

    @property
    def best(self) -> Trial | None:
        """The best trial so far, the first of equals."""
        best = max if self.direction == "maximize" else min
        return best(self.completed, key=lambda trial: trial.value or 0.0, default=None)

    @property
    def best_so_far(self) -> list[float]:
        """The best value after each of the completed trials."""
        best = max if self.direction == "maximize" else min
        return list(accumulate((trial.value or 0.0 for trial in self.completed), best))


def quiet_optuna() -> Any:
    """Return the package ``optuna`` with its log switched off; raises ImportError where it isn't installed."""
    # it logs how Optuna sets its database up
    logging.getLogger("alembic").setLevel(logging.WARNING)
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


def described(study: Any, name: str, n_trials: int) -> dict[str, Any]:
    """Return an ``optuna.Study`` as the content of search.json, which `read_search` reads."""
    from optuna.distributions import distribution_to_json

    trials = study.trials
    kinds = {key: distribution_to_json(kind) for trial in trials for key, kind in trial.distributions.items()}
    noted = [
        Trial(trial.number, trial.state.name, trial.value, trial.params, trial.user_attrs.get("cnnexp.folder"))
        for trial in trials
    ]
    return asdict(Search(name, study.direction.name.lower(), n_trials, kinds, noted))


def read_search(folder: Path) -> Search | None:
    """Return the search that a folder's search.json describes; None where there is none, or it is damaged."""
    try:
        noted = read_json(folder / SEARCH) or {}
        return Search(**{**noted, "trials": [Trial(**trial) for trial in noted["trials"]]})
    except (CnnexpError, TypeError, KeyError):
        return None


def importances(search: Search) -> dict[str, float]:
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


def told(search: Search, shares: Mapping[str, float]) -> list[str]:
    """Return the search in sentences: how far it is, the best so far, what mattered."""
    names = short_names(list(search.distributions))
    states = [trial.state for trial in search.trials]
    over = len(states) - states.count("RUNNING") - states.count("WAITING")
    failed = f", {states.count('FAIL')} failed" if "FAIL" in states else ""
    lines = [f"Study {search.study}: {over} of {search.n_trials} trials done{failed}."]
    best = search.best
    if best is not None and best.value is not None:
        settings = ", ".join(f"{names[key]}={shown_value(key, value)}" for key, value in best.params.items())
        lines.append(
            f"Best so far: trial {best.number}, {100 * best.value:.2f} % validation accuracy, {settings}."
        )
    if shares:
        parts = ", ".join(f"{names[key]} {100 * share:.0f} %" for key, share in shares.items())
        lines.append(f"Importance (fANOVA, over {len(search.completed)} trials): {parts}.")
    return lines


def draw_search(search: Search, shares: Mapping[str, float]) -> Figure | None:
    """Draw each trial's validation accuracy in order, the importances, and the accuracy against each parameter."""
    if not search.completed:
        return None
    keys = list(search.distributions)[:MOST_SETTINGS]
    names = short_names(list(search.distributions))
    rows = -(-len(keys) // 3)
    title = plain(f"Study {search.study}; later trials are darker")
    figure = new_figure(10.5, 3.1 + 2.7 * rows, title)
    grid = figure.add_gridspec(1 + rows, 3)
    history, bars = figure.add_subplot(grid[0, :2]), figure.add_subplot(grid[0, 2])
    _draw_history(history, search)
    if shares:
        labels = [plain(shortened(names[key], 22)) for key in shares]
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
        label_axes(axes, plain(names[key]), "" if number % 3 else "validation accuracy, %")
    return figure


def _draw_history(axes: Any, search: Search) -> None:
    numbers = [trial.number for trial in search.completed]
    axes.scatter(numbers, [100 * (t.value or 0.0) for t in search.completed], s=18, color=VAL, label="trial")
    best = [100 * value for value in search.best_so_far]
    axes.step(numbers, best, where="post", color=TRAIN, linewidth=1.4, label="best so far")
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
        values, [100 * (trial.value or 0.0) for trial in trials], c=range(len(trials)), cmap="Blues",
        vmin=-len(trials), s=22, edgecolors=FAINT, linewidths=0.4,
    )  # fmt: skip
