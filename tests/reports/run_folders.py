"""Run folders as a run leaves them, without the training."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from cnnexp.evaluation.answers import FILE, Answers

DEFAULTS = {
    "model": {"cnn": {"channels": [4, 8], "dropout": 0.0}, "ffnn": {"hidden": [32], "dropout": 0.0}},
    "optimizer": {"adam": {"lr": 0.001, "betas": [0.9, 0.999]}, "sgd": {"lr": 0.05, "momentum": 0.9}},
    "data": {"digits": {"dataset": "digits", "train_size": None, "root": "/data"}},
}


def history(val_loss: Sequence[float], train_loss: Sequence[float], **columns: Sequence[float]) -> list[dict]:
    """Rows of metrics.csv; accuracies are 1 - loss / 4 unless given."""
    rows = []
    for i, (val, train) in enumerate(zip(val_loss, train_loss, strict=True)):
        row = {"epoch": i + 1, "train_loss": train, "train_accuracy": 1 - train / 4, "val_loss": val}
        row |= {"val_accuracy": 1 - val / 4, "learning_rate": 0.001, "seconds": 1.0}
        rows.append(row | {key: values[i] for key, values in columns.items()})
    return rows


OVERFITTING = history([1.0, 0.6, 0.5, 0.7, 0.9, 1.1], [0.9, 0.5, 0.3, 0.2, 0.1, 0.05])
FITTING = history([1.0, 0.6, 0.4, 0.3, 0.27, 0.25], [0.9, 0.5, 0.36, 0.28, 0.26, 0.24])


def make_run(
    folder: Path,
    typed: Sequence[str] = (),
    rows: Sequence[Mapping[str, float]] = FITTING,
    status: str = "completed",
    recorded: Mapping[str, Any] | None = None,
    answers: Answers | None = None,
    **result: Any,
) -> Path:
    """Make a run's folder.

    ``typed`` are its overrides: of the groups above, their settings, and seed; ``recorded`` are further settings,
    ``answers`` those on its validation images.
    """
    overrides = dict(override.split("=", 1) for override in typed)
    choices = {"model": "cnn", "data": "digits", "optimizer": "adam"}
    choices |= {group: overrides[group] for group in choices if group in overrides}
    config: dict[str, Any] = {group: dict(DEFAULTS[group][choice]) for group, choice in choices.items()}
    config |= {"seed": int(overrides.get("seed", 0)), "callbacks": {}, "logger": {}, **(recorded or {})}
    for key, value in overrides.items():
        group, _, last = key.partition(".")
        if last:
            config[group][last] = yaml.safe_load(value)
    hydra = folder / ".hydra"
    hydra.mkdir(parents=True)
    (hydra / "config.yaml").write_text(yaml.safe_dump(config))
    (hydra / "overrides.yaml").write_text(yaml.safe_dump(list(typed)))
    hydras = {"hydra": {"runtime": {"choices": {**choices, "hydra/launcher": "basic"}}}}
    (hydra / "hydra.yaml").write_text(yaml.safe_dump(hydras))
    if rows:
        lines = [",".join(rows[0]), *(",".join(str(value) for value in row.values()) for row in rows)]
        (folder / "metrics.csv").write_text("\n".join(lines) + "\n")
    content: dict[str, Any] = {"status": status, "error": None, "seed": config["seed"], **choices}
    if status == "completed" and rows:
        best = max(rows, key=lambda row: row["val_accuracy"])
        content |= {key: best[key] for key in ("train_loss", "train_accuracy", "val_loss", "val_accuracy")}
        content |= {
            "best_epoch": best["epoch"], "epochs": len(rows), "parameters": 1000, "train_seconds": 6.0,
            "generalization_gap": best["train_accuracy"] - best["val_accuracy"],
            "test_loss": best["val_loss"], "test_accuracy": best["val_accuracy"],
        }  # fmt: skip
    (folder / "result.json").write_text(json.dumps(content | result))
    if answers is not None:
        (folder / FILE).write_text(answers.text())
    return folder
