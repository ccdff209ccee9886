"""Whether a checkpoint holds what this run would save itself: a malformed one is named, never trained on.

What a run would save is asked of its own objects, made anew: the network, the callbacks, Lightning's loops, and
the optimizer and schedule over a number for each weight. What a file has must be of the same keys, kinds and
shapes; what is a setting must be the same; counters must agree with each other.
"""

import inspect
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import lightning as L
import torch
import torch.nn.functional as F
from lightning.pytorch.callbacks import ModelCheckpoint, Timer, WeightAveraging
from lightning.pytorch.plugins.precision import DoublePrecision, HalfPrecision, Precision
from lightning.pytorch.strategies import FSDPStrategy
from packaging.version import InvalidVersion, Version
from torch import Tensor
from torch.optim.lr_scheduler import ReduceLROnPlateau

from cnnexp.data.datamodule import ImageDataModule
from cnnexp.data.preprocessing import check_data_state
from cnnexp.errors import CnnexpError
from cnnexp.models.classifier import Classifier
from cnnexp.training.alike import Wrong, like, like_tensor, nested, of_length, part_of, plain, same_keys
from cnnexp.version import __version__

_MOVES = {"lr", "betas", "momentum", "last_epoch", "total_steps", "T_max", "dirpath"}
"""Arguments of optimizers, schedules and callbacks that are no settings, but change as training goes on."""
_ROW = ("epoch", "learning_rate", "seconds", "running_loss", "running_accuracy")


def check_weights(path: Path, checkpoint: Any, model: Classifier) -> None:
    """Raise CnnexpError, naming the difference, for another network's, a newer or a malformed checkpoint."""
    try:
        _check_weights(path, checkpoint, model)
    except Wrong as wrong:
        raise CnnexpError(f"{path} is malformed: {wrong}") from None


def check_state(path: Path, checkpoint: Any, model: Classifier, trainer: L.Trainer, data: Any) -> None:
    """Raise CnnexpError, naming what is wrong, for a checkpoint that a training can't go on from.

    Args:
        path: the file's, for the message.
        checkpoint: what is in it.
        model: the network to be trained on.
        trainer: with its callbacks; not yet at work.
        data: the data module, set up.
    """
    check_weights(path, checkpoint, model)
    try:
        _check_rows(part_of(checkpoint, "history", list))
        _check_loops(checkpoint, trainer)
        batches = checkpoint["loops"]["fit_loop"]["epoch_loop.batch_progress"]["total"]["ready"]
        _check_optimization(checkpoint, model, batches, trainer)
        _check_callbacks(checkpoint, model, trainer, batches)
        _check_so_far(checkpoint, model)
        _check_lowest(checkpoint)
        for name, value in trainer.precision_plugin.state_dict().items():
            like(part_of(checkpoint, type(trainer.precision_plugin).__qualname__, dict).get(name), value, name)
    except Wrong as wrong:
        raise CnnexpError(f"{path} is malformed: {wrong}") from None
    if isinstance(data, ImageDataModule):
        state = checkpoint.get(type(data).__qualname__)
        check_data_state(path, state, {"classes": model.classes, "image_shape": model.image_shape})
        if list(state["class_names"]) != data.class_names or (state["mean"] is None) == data.normalize:
            raise CnnexpError(f"{path} isn't of these data: their classes, or how images are normalized, differ")


def _check_weights(path: Path, checkpoint: Any, model: Classifier) -> None:
    if not isinstance(checkpoint, dict):
        raise Wrong(f"it is a {type(checkpoint).__name__}, not a dict")
    _version(checkpoint.get("pytorch-lightning_version"), "pytorch-lightning_version", least="2.0")
    version = checkpoint.get("cnnexp_version", "0")
    if _version(version, "cnnexp_version") > Version(__version__):
        raise CnnexpError(
            f"{path} was written by cnnexp {version}, this is {__version__}; update cnnexp to read it"
        )
    weights = part_of(checkpoint, "state_dict", dict)
    if not all(isinstance(weight, Tensor) for weight in weights.values()):
        raise Wrong("state_dict has more in it than tensors")
    mine, theirs = ({k: tuple(v.shape) for k, v in part.items()} for part in (model.state_dict(), weights))
    recorded = checkpoint.get("hyper_parameters") or {}
    if not isinstance(recorded, dict):
        raise Wrong(f"hyper_parameters is a {type(recorded).__name__}")
    # a network of convolutions alone has the same weights for any image size
    if "image_shape" in recorded:
        shape = recorded["image_shape"]
        theirs["image_shape"] = tuple(shape) if isinstance(shape, (list, tuple)) else shape
        mine["image_shape"] = tuple(model.image_shape)
    if theirs != mine:
        name = next(name for name in (*mine, *theirs) if mine.get(name) != theirs.get(name))
        raise CnnexpError(
            f"{path} isn't of this network: {name} is {theirs.get(name, 'not there')} in the file and "
            f"{mine.get(name, 'not there')} in {type(model).__name__}; use the model and data it was trained with"
        )
    for key, value in recorded.items():
        if key in model.hparams and plain(value) != plain(model.hparams[key]):
            raise CnnexpError(
                f"{path} isn't of this network: {key} is {str(value)[:60]} in the file and "
                f"{model.hparams[key]} in the run"
            )
    for name, weight in model.state_dict().items():
        like_tensor(weights[name], weight, f"state_dict.{name}")


def _check_rows(history: list[Any]) -> None:
    """Raise Wrong unless each epoch has a row of numbers."""
    for number, row in enumerate(history):
        where = f"history[{number}]"
        if not (isinstance(row, dict) and all(isinstance(key, str) for key in row)):
            raise Wrong(f"{where} isn't a row of an epoch's numbers")
        columns = [*_ROW, *(f"{part}_{name}" for part in ("train", "val") for name in ("loss", "accuracy"))]
        measured = any(key.startswith(("train_", "val_")) for key in row)
        for key in columns if measured else _ROW:
            like(row.get(key), 0.0, f"{where}.{key}")
        for key, value in row.items():
            if not isinstance(value, (int, float)):
                raise Wrong(f"{where}.{key} isn't a number")
            counts = not key.endswith("_images") or (0 < value < 2**53 and value % 1 == 0)
            if not counts or (key.endswith("accuracy") and value > 1):
                raise Wrong(f"{where}.{key} is {value}")
        if row["epoch"] != number + 1:
            raise Wrong(f"{where}.epoch is {row['epoch']}")


def _check_loops(checkpoint: Mapping[str, Any], trainer: L.Trainer) -> None:
    """Raise Wrong where Lightning's counters don't agree with each other and with the epochs' rows."""
    loop = part_of(part_of(checkpoint, "loops", dict), "fit_loop", dict)
    like(loop, trainer.fit_loop.state_dict(), "loops.fit_loop")
    for name, counters in nested(loop, "loops.fit_loop"):
        if "ready" in counters:
            counts = [counters[key] for key in ("ready", "started", "processed", "completed") if key in counters]
            if counts != sorted(counts, reverse=True) or counts[0] - counts[-1] > 1:
                raise Wrong(f"{name} has counters that contradict each other")
        # validation's are begun anew each time, those in all too
        elif (
            "total" in counters
            and "val_loop" not in name
            and any(counters["current"][k] > counters["total"][k] for k in counters["total"])
        ):
            raise Wrong(f"{name} has counted more now than in all")
    batches, epochs = loop["epoch_loop.batch_progress"], loop["epoch_progress"]
    steps = loop["epoch_loop.automatic_optimization.optim_progress"]["optimizer"]["step"]["total"]["completed"]
    so_far = checkpoint.get("so_far")
    if so_far is None and not batches["is_last_batch"]:
        raise Wrong("so_far isn't there, and it is of the middle of an epoch")
    if so_far is not None:
        like(so_far, {"has_row": False, "batches": 0}, "so_far", partly=True)
        if so_far["batches"] != batches["current"]["processed"]:
            raise Wrong(f"so_far.batches is {so_far['batches']}, the loop has {batches['current']['processed']}")
    rows = len(checkpoint["history"]) - bool(so_far and so_far["has_row"])
    if rows != epochs["current"]["processed"]:
        raise Wrong(f"history has {rows} whole epochs, the loop has {epochs['current']['processed']}")
    if rows or checkpoint.get("epoch") != -1:  # Lightning's count where training ended within the first epoch
        like(checkpoint.get("epoch"), 0, "epoch", most=rows)
    like(checkpoint.get("global_step"), 0, "global_step")
    if checkpoint["global_step"] != steps:
        raise Wrong(f"global_step is {str(checkpoint.get('global_step'))[:60]}, the loop has {steps}")
    if not max(steps, loop["epoch_loop.state_dict"]["_batches_that_stepped"]) <= batches["total"]["ready"]:
        raise Wrong("loops.fit_loop has more steps than batches")


def _check_optimization(
    checkpoint: Mapping[str, Any], model: Classifier, batches: int, trainer: L.Trainer
) -> None:
    """Raise Wrong for an optimizer's or a schedule's state that isn't of those that the run has."""
    states, schedules = part_of(checkpoint, "optimizer_states", list), part_of(checkpoint, "lr_schedulers", list)
    optimizer, weights, configured, never_negative = _rehearsed(model, trainer.precision_plugin)
    schedule = configured.get("scheduler")
    of_length(states, 1, "optimizer_states")
    of_length(schedules, 0 if schedule is None else 1, "lr_schedulers")
    if isinstance(trainer.strategy, FSDPStrategy):  # by the weights' names, as each process had a part
        return
    fresh, where = optimizer.state_dict(), "optimizer_states[0]"
    groups = part_of(states[0], "param_groups", list, where)
    of_length(groups, len(fresh["param_groups"]), f"{where}.param_groups")
    for number, (group, own) in enumerate(zip(groups, fresh["param_groups"], strict=True)):
        _check_group(group, own, f"{where}.param_groups[{number}]")
    state = part_of(states[0], "state", dict, where)
    for key in state.keys() ^ fresh["state"].keys():
        if key in state or weights[key].requires_grad:
            raise Wrong(f"{where}.state {'has' if key in state else 'lacks'} {key!r}")
    for key, values in state.items():
        same_keys(values, fresh["state"][key], f"{where}.state.{key}")
        for name, own in fresh["state"][key].items():
            here, shape = f"{where}.state.{key}.{name}", tuple(weights[key].shape)
            if isinstance(own, Tensor) and own.dim() and own.dim() == len(shape):
                found = getattr(values[name], "shape", ())
                # of a factored one, rows and columns
                size = tuple(a if a == b else 1 for a, b in zip(found, shape, strict=False))
                like_tensor(values[name], own.new_zeros(size).expand(size), here)
            else:
                like(values[name], own, here)
            if (key, name) in never_negative and bool((torch.as_tensor(values[name]) < 0).any()):
                raise Wrong(f"{here} is negative")
            if name == "step" and float(values[name]) > batches:
                raise Wrong(f"{here} is {float(values[name]):g} after {batches} batches")
    if schedule is not None:
        mine = schedule.state_dict()
        same_keys(schedules[0], mine, "lr_schedulers[0]")
        same = _settings(schedule) | {"base_lrs", "min_lrs"}
        # a schedule's length may be more than the batches so far; a resume takes it from the settings
        lengths = mine.keys() & {"total_steps", "_schedule_phases"}
        for keys, most in ((mine.keys() - lengths, batches), (lengths, None)):
            found, own = ({key: state[key] for key in keys} for state in (schedules[0], mine))
            like(found, own, "lr_schedulers[0]", same, most)
        counted = mine.get("last_epoch") == mine.get("_step_count", 0) - 1
        if counted and schedules[0]["last_epoch"] != schedules[0]["_step_count"] - 1:
            raise Wrong("lr_schedulers[0].last_epoch isn't its number of steps")
        if isinstance(schedule, ReduceLROnPlateau):
            _check_score(schedules[0]["best"], configured.get("monitor"), "lr_schedulers[0].best")
        rates = [group["lr"] for group in groups]
        if "_last_lr" in mine and list(schedules[0]["_last_lr"]) != rates:
            raise Wrong(f"lr_schedulers[0]._last_lr is {schedules[0]['_last_lr']}, the optimizer's {rates}")


def _check_group(group: Any, own: Mapping[str, Any], where: str) -> None:
    cycled = "max_momentum" in own
    known = own if not isinstance(group, dict) else {key: own[key] for key in own if key in group or own[key]}
    same_keys(group, known, where)  # what another version of torch has besides is switched off
    for key, value in known.items():
        if key == "lr" or (cycled and key in ("betas", "momentum")):
            like(group[key], value, f"{where}.{key}")
        elif plain(group[key]) != plain(value) or type(group[key]) is not type(value):
            raise Wrong(f"{where}.{key} is {str(group[key])[:60]} in the file and {value} in the run's settings")
    momentum = [group[key] for key in ("betas", "momentum") if cycled and key in group]
    for number in (part for value in momentum for part in (value if isinstance(value, tuple) else (value,))):
        if number >= 1:
            raise Wrong(f"{where} has a momentum of {number}")


def _rehearsed(
    model: Classifier, precision: Precision
) -> tuple[Any, list[Any], dict[str, Any], set[tuple[int, str]]]:
    """Return the network's optimizer and schedule's dict anew, over a number for each weight, after a step.

    Between them the network's weights in the order in which that optimizer numbers them, as Muon sorts them; last
    which of its values, by number and name, are never negative whatever the gradient.
    """
    with torch.device("cpu"):
        optimizer, weights, schedule = _stepped(model, precision, -1.0)
        other, *_ = _stepped(model, precision, 1.0)
    positive = {
        (key, name)
        for key, values in optimizer.state_dict()["state"].items()
        for name, value in values.items()
        if isinstance(value, Tensor)
        and all(bool((torch.as_tensor(o.state_dict()["state"][key][name]) >= 0).all()) for o in (optimizer, other))
    }
    return optimizer, weights, schedule, positive


def _stepped(model: Classifier, precision: Precision, gradient: float) -> tuple[Any, list[Any], dict[str, Any]]:
    rehearsed = {
        torch.nn.Parameter(torch.zeros((1,) * own.dim(), dtype=own.dtype), own.requires_grad): own
        for own in model.parameters()
    }
    if isinstance(precision, (HalfPrecision, DoublePrecision)):  # which Lightning gives the network only later
        precision.convert_module(torch.nn.ParameterList(rehearsed))
    optimizer = model.build_optimizer(list(rehearsed))
    weights = [rehearsed[weight] for group in optimizer.param_groups for weight in group["params"]]
    schedule = {} if model._scheduler is None else model._scheduler(optimizer, epochs=2, steps_per_epoch=10)
    for weight in rehearsed:
        weight.grad = torch.full_like(weight, gradient) if weight.requires_grad else None
    optimizer.step()
    return optimizer, weights, schedule


def _check_callbacks(checkpoint: Mapping[str, Any], model: Classifier, trainer: L.Trainer, batches: int) -> None:
    """Raise Wrong for the state of a callback that the run doesn't have, or that isn't what it would save."""
    found = part_of(checkpoint, "callbacks", dict)
    own: dict[str, tuple[Any, dict[str, Any]]] = {}
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        state = callback.state_dict()
        if state and not isinstance(callback, Timer):  # a resume may give more time, or none
            own[callback.state_key] = callback, state
        if isinstance(callback, WeightAveraging):
            weights = part_of(checkpoint, "current_model_state", dict)
            like(weights, dict(model.state_dict()), "current_model_state")
            like(checkpoint.get("averaging_state"), {"n_averaged": torch.tensor(0)}, "averaging_state")
            if not 0 <= int(checkpoint["averaging_state"]["n_averaged"]) <= batches:
                raise Wrong(f"averaging_state.n_averaged isn't among the {batches} batches")
    same_keys({key: 0 for key in found if not str(key).startswith("Timer")}, own, "callbacks")
    for key, (callback, state) in own.items():
        where = f"callbacks.{type(callback).__name__}"
        paths = {"best_k_models", "dirpath"} if isinstance(callback, ModelCheckpoint) else set()
        same_keys(found[key], state, where)
        theirs, mine = ({k: v for k, v in part.items() if k not in paths} for part in (found[key], state))
        like(theirs, mine, where, _settings(callback), batches)
        for name in ("best_score", "best_model_score", "current_score", "kth_value"):
            _check_score(theirs.get(name), getattr(callback, "monitor", None), f"{where}.{name}")
        if isinstance(callback, ModelCheckpoint):  # Lightning removes what was the best
            _check_paths(found[key], f"{callback.filename}.ckpt", where)


def _check_score(score: Any, monitor: str | None, where: str) -> None:
    """Raise Wrong for the best of a number so far that such a number can't be; it is infinite before the first."""
    value = math.inf if score is None else float(score)
    most = {"loss": math.inf, "accuracy": 1.0}.get(str(monitor).rpartition("_")[2])
    if most is not None and not math.isinf(value) and not 0 <= value <= most:
        raise Wrong(f"{where} is {value:g}, which {monitor} can't be")


def _check_paths(state: Mapping[str, Any], name: str, where: str) -> None:
    best = part_of(state, "best_k_models", dict, where)
    part_of(state, "dirpath", str, where)
    if not all(isinstance(path, str) for path in best):
        raise Wrong(f"{where}.best_k_models isn't by path")
    for score in best.values():
        like(score, None, f"{where}.best_k_models")
        if not isinstance(score, Tensor):
            raise Wrong(f"{where}.best_k_models has no score")
    for path in (*best, *(state[key] for key in ("best_model_path", "kth_best_model_path", "last_model_path"))):
        if path and (".." in Path(path).parts or ("{" not in name and Path(path).name != name)):
            raise Wrong(f"{where} names {path!r} as its {name}")
    if (state["best_model_score"] is None) != (state["current_score"] is None) or (
        bool(best) != bool(state["kth_best_model_path"])
    ):
        raise Wrong(f"{where} has no score beside its best, or no best")


def _check_so_far(checkpoint: Mapping[str, Any], model: Classifier) -> None:
    """Raise Wrong where what there is of an unfinished epoch isn't what the network sums up."""
    so_far = checkpoint.get("so_far")
    if so_far is None:
        return
    parts = {"has_row": False, "batches": 0, "metrics": None, "seconds": 0.0, "running": None, "gradients": None}
    same_keys({"validated": {}, **so_far}, {"validated": {}, **parts}, "so_far")  # older ones lack it
    validated = so_far.get("validated", {})
    like(validated, dict.fromkeys(validated if isinstance(validated, dict) else (), None), "so_far.validated")
    like(so_far["seconds"], 0.0, "so_far.seconds")
    like(so_far["metrics"], dict.fromkeys(part_of(so_far, "metrics", dict, "so_far"), None), "so_far.metrics")
    like(so_far["metrics"].get("learning_rate"), 0.0, "so_far.metrics.learning_rate")
    running, own = part_of(so_far, "running", dict, "so_far"), model.running.so_far()
    buffered = ("logits", "labels", "objectives")
    lists = {key: part_of(running, key, list, "so_far.running") for key in buffered}
    most = checkpoint["loops"]["fit_loop"]["epoch_loop.batch_progress"]["total"]["ready"]
    others = ("sums", *buffered)
    like({**running, **dict.fromkeys(others)}, {**own, **dict.fromkeys(others)}, "so_far.running", most=most)
    of_length(part_of(running, "sums", list, "so_far.running"), len(own["sums"]), "so_far.running.sums")
    for state, mine in zip(running["sums"], own["sums"], strict=True):
        same_keys(state, mine, "so_far.running.sums")
        for name, value in mine.items():
            # counts become floats as they are added to
            like_tensor(state[name], value.float(), f"so_far.running.sums.{name}", counts=True)
            if bool((state[name] < 0).any()):
                raise Wrong(f"so_far.running.sums.{name} is negative")
    of_length(lists["labels"], len(lists["logits"]), "so_far.running.labels")
    for logits, labels in zip(lists["logits"], lists["labels"], strict=True):
        images = len(logits) if isinstance(logits, Tensor) and logits.dim() else 0
        like_tensor(logits, torch.zeros(images, model.classes), "so_far.running.logits")
        like_tensor(labels, torch.zeros(images, dtype=torch.int64), "so_far.running.labels")
        if images and not 0 <= int(labels.min()) <= int(labels.max()) < model.classes:
            raise Wrong(f"so_far.running.labels aren't among the {model.classes} classes")
    differs = type(model).objective is not Classifier.objective or model.loss is not F.cross_entropy
    of_length(lists["objectives"], len(lists["logits"]) if differs else 0, "so_far.running.objectives")
    for objective in lists["objectives"]:
        like_tensor(objective, torch.tensor(0.0), "so_far.running.objectives")
    gradients = part_of(so_far, "gradients", list, "so_far")
    weights = list(model.named_parameters())
    of_length(gradients, len(weights), "so_far.gradients")
    for gradient, (name, weight) in zip(gradients, weights, strict=True):
        if gradient is not None:
            like_tensor(gradient, weight, f"so_far.gradients of {name}")


def _settings(thing: Any) -> frozenset[str]:
    """Return the names that an object's constructor takes, and that training doesn't change."""
    return frozenset(inspect.signature(type(thing)).parameters) - _MOVES


def _version(text: Any, where: str, least: str = "0") -> Version:
    try:
        found = Version(text)
    except (InvalidVersion, TypeError):
        raise Wrong(f"{where} is {str(text)[:60]!r}") from None
    if found < Version(least):
        raise Wrong(f"{where} is {text}, older than any that we wrote")
    return found


def _check_lowest(checkpoint: Mapping[str, Any]) -> None:
    """Raise Wrong where the losses of the lowest validation aren't numbers, an image each."""
    lowest, where = checkpoint.get("lowest_validation"), "lowest_validation"
    if lowest is None:  # older ones lack it, and there may have been no validation
        return
    same_keys(lowest, {"loss": 0.0, "losses": None, "order": 0}, where)
    losses = lowest["losses"]
    images = len(losses) if isinstance(losses, Tensor) and losses.dim() else 0
    like_tensor(losses, torch.zeros(images), f"{where}.losses")
    like(lowest["loss"], 0.0, f"{where}.loss")
    like(lowest["order"], 0, f"{where}.order")
