"""Whole checkpoints with malformed contents: each is named with what is wrong, or what comes of it is right."""

import copy
import json
import math
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf
from reliability.kill_matrix import CONF, choices, precisions

from cnnexp import CNN, CnnexpError, ImageDataModule, load_run
from cnnexp.app import run
from cnnexp.data.preprocessing import Preprocessing
from cnnexp.job.load import data_state
from cnnexp.tasks import fit
from cnnexp.training.checkpoint_state import check_state

QUICK = ["model=ffnn", "model.hidden=[3]", "logger=none", "data.batch_size=256", "trainer.max_epochs=2"]
KINDS = {
    "plateau, averages": ["scheduler=plateau", "callbacks=[early_stopping,ema,save_every]"],
    "one cycle": ["scheduler=onecycle", "optimizer=adamw", "callbacks=[save_every]"],
    "momentum, focal": ["scheduler=step", "optimizer=sgd", "model.loss=focal", "callbacks=[save_every]"],
}
EACH = 120  # mutations of a kind, of the two thousand that there are
UNREAD = re.compile(  # nothing reads it, or nobody can know better
    r"loops: foreign|loops\.(validate|test|predict)_loop.*|hparams_name.*|.*\.dirpath: (a text|path)"
    r"|hyper_parameters: (gone|None|empty|foreign|a dict)|hyper_parameters\..*: gone|ImageDataModule: foreign"
    r"|ImageDataModule\.(brightness|levels): (gone|None)|cnnexp_version: gone|history\.\d+: foreign"
    r"|history\.\d+\.\w+_images: gone|history\.\d+\.running_objective: \w+"
    r"|so_far\.validated: gone|lowest_validation: (gone|None)"  # which older ones lack
    r"|so_far\.metrics: foreign|so_far\.gradients\.\d+: None|optimizer_states\.0: foreign"
    r"|optimizer_states\.0\.param_groups\.0\.\w+: gone"  # of what is switched off: torch's own value
)


def places(node: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the way to each entry of nested dicts and lists."""
    for key, value in node.items() if isinstance(node, dict) else enumerate(node):
        yield (*path, key)
        if isinstance(value, (dict, list)):
            yield from places(value, (*path, key))


def instead(value: Any) -> dict[str, Any]:
    """Return what may stand in the place of a value."""
    other: dict[str, Any] = {"a text": "x", "a list": [[]], "a dict": {"x": {}}, "None": None}
    if isinstance(value, torch.Tensor):
        bad = value.float().clone()
        bad.view(-1)[-1:] = math.nan
        other |= {"nan": bad, "shape": torch.zeros(2, 3, 1), "huge": bad.nan_to_num() + 1e30, "number": 1.5}
    elif isinstance(value, (int, float)):
        other |= {"nan": math.nan, "inf": math.inf, "huge": 10**18, "float": 1e300, "negative": -7}
        other |= {"tensor": torch.zeros(2)}
    elif isinstance(value, dict):
        other |= {"empty": {}, "foreign": {**value, "foreign": 1}, "a list": list(value.values())}
    elif isinstance(value, (list, tuple)):
        other |= {"longer": [*value, 1], "shorter": list(value)[:-1], "numbers": [math.nan] * len(value)}
    elif isinstance(value, str):
        other |= {"path": "../../x", "number": 3}
    return {name: new for name, new in other.items() if repr(new) != repr(value)}


def spoil(checkpoint: dict[str, Any], path: tuple[Any, ...], *new: Any) -> dict[str, Any]:
    """Return a copy with an entry replaced, or taken out where there is nothing new."""
    copied = node = copy.deepcopy(checkpoint)
    for key in path[:-1]:
        node = node[key]
    if new:
        node[path[-1]] = new[0]
    else:
        del node[path[-1]]
    return copied


def mutations(checkpoint: dict[str, Any]) -> Iterator[tuple[str, Callable[[dict[str, Any]], dict[str, Any]]]]:
    """Yield each way in which a checkpoint may be malformed: an entry gone, or another in its place."""
    for path in places(checkpoint):
        value: Any = checkpoint
        for key in path:
            value = value[key]
        where = ".".join(map(str, path))
        yield f"{where}: gone", lambda c, path=path: spoil(c, path)
        for name, new in instead(value).items():
            yield f"{where}: {name}", lambda c, path=path, new=new: spoil(c, path, new)


@dataclass
class Saved:
    """A run, what it saved in the middle of its last epoch, and what it was gone on with from there by."""

    folder: Path
    within: dict[str, Any]
    at_end: dict[str, Any]
    objects: tuple[Any, ...]


def unfinish(folder: Path) -> None:
    """Make a run look as if it had been killed."""
    result = json.loads((folder / "result.json").read_text())
    (folder / "result.json").write_text(json.dumps({**result, "status": "running"}))


@pytest.fixture(scope="module", params=KINDS)
def saved(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Saved:
    kept: list[Any] = []

    def keep(folder, model, trainer, data):
        kept[:] = folder, model, trainer, data, list(trainer.callbacks)
        return find(folder, model, trainer, data)

    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("saved"))
        find = fit.checkpoint_to_go_on_from
        patch.setattr(fit, "checkpoint_to_go_on_from", keep)
        assert run([*QUICK, *KINDS[request.param], "callbacks.save_every.steps=2"]) == 0
        [folder] = Path("outputs/ffnn-digits").absolute().iterdir()
        checkpoints = folder / "checkpoints"
        at_end = torch.load(checkpoints / "last.ckpt", weights_only=True)
        shutil.copy(checkpoints / "previous.ckpt", checkpoints / "last.ckpt")
        within = torch.load(checkpoints / "last.ckpt", weights_only=True)
        assert within["so_far"]["batches"] == 4
        unfinish(folder)
        assert run([f"resume={folder}"]) == 0
        _, model, trainer, data, callbacks = kept
        trainer.callbacks[:] = callbacks  # the test leaves out the averages
    again = torch.load(checkpoints / "last.ckpt", weights_only=True)
    assert all(torch.equal(weight, again["state_dict"][name]) for name, weight in at_end["state_dict"].items())
    return Saved(folder, within, at_end, (model, trainer, data))


def answer(ask: Callable[[], Any]) -> Any:
    """Return what a call returns, or the text of its CnnexpError."""
    try:
        return ask()
    except CnnexpError as error:
        return str(error)


def told(said: Any, path: Path) -> bool:
    """Whether an answer names the file in a line or two that can be read."""
    return isinstance(said, str) and str(path) in said and len(said.splitlines()) <= 2 and len(said) < 500


def test_no_malformed_checkpoint_is_trained_on(saved: Saved) -> None:
    path = Path("last.ckpt")
    check_state(path, saved.at_end, *saved.objects)
    check_state(path, saved.within, *saved.objects)
    every = list(mutations(saved.within))
    unread = [way for way in every if UNREAD.fullmatch(way[0])]
    read = [way for way in every if not UNREAD.fullmatch(way[0])]
    for where, change in islice(read, 0, None, max(1, len(read) // EACH)):
        said = answer(lambda change=change: check_state(path, change(saved.within), *saved.objects))
        assert told(said, path), f"{where}: {said}"
    for where, change in unread[::20]:
        said = answer(lambda change=change: check_state(path, change(saved.within), *saved.objects))
        assert said is None or told(said, path), f"{where}: {said}"


def test_what_nothing_reads_changes_nothing(saved: Saved, cnnexp: Callable[..., int], folder: Path) -> None:
    ours = shutil.copytree(saved.folder, folder / "ours")
    checkpoint = copy.deepcopy(saved.within)
    del checkpoint["hyper_parameters"], checkpoint["hparams_name"], checkpoint["ImageDataModule"]["brightness"]
    del checkpoint["cnnexp_version"], checkpoint["loops"]["test_loop"]
    checkpoint["optimizer_states"][0]["foreign"] = checkpoint["loops"]["foreign"] = 1
    checkpoint["so_far"]["gradients"] = [None] * 4
    checkpoint["optimizer_states"][0]["param_groups"][0].pop("maximize")
    torch.save(checkpoint, ours / "checkpoints" / "last.ckpt")
    unfinish(ours)
    assert cnnexp(f"resume={ours}") == 0
    again = torch.load(ours / "checkpoints" / "last.ckpt", weights_only=True)
    for name, weight in saved.at_end["state_dict"].items():
        assert torch.equal(weight, again["state_dict"][name])


@pytest.mark.parametrize("optimizer", choices("optimizer"))
def test_a_whole_one_is_believed_with_every_optimizer_in_every_precision(optimizer: str, folder: Path) -> None:
    chosen = instantiate(OmegaConf.load(CONF / "optimizer" / f"{optimizer}.yaml"))
    for precision in precisions():
        if precision == "16-mixed":  # of which Lightning makes bf16-mixed on a CPU, with a warning
            continue
        data = ImageDataModule("digits", train_size=32, val_size=32, batch_size=16)

        def objects(data=data, precision=precision) -> tuple[Any, ...]:
            trainer = L.Trainer(
                accelerator="cpu", precision=precision, max_epochs=1, limit_train_batches=2, logger=False,
                enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
            )  # fmt: skip
            model = CNN((1, 28, 28), 10, channels=[2], hidden=[3], batch_norm=True)
            return model.train_with(optimizer=chosen), trainer, data

        model, trainer, _ = objects()
        trainer.fit(model, data)
        trainer.save_checkpoint("last.ckpt")
        check_state(Path("last.ckpt"), torch.load("last.ckpt", weights_only=True), *objects())


@pytest.mark.parametrize("saved", ["one cycle"], indirect=True)
def test_no_malformed_checkpoint_is_asked(saved: Saved) -> None:
    best = saved.folder / "checkpoints" / "best.ckpt"
    whole = best.read_bytes()
    checkpoint = torch.load(best, weights_only=True)
    images = torch.rand(2, 1, 28, 28)

    def answers() -> tuple[Any, ...]:
        loaded = load_run(saved.folder)
        with torch.no_grad():
            return Preprocessing.of_state(data_state(loaded)), loaded.model(images).tolist()

    right, believed = answers(), []
    asked = ("state_dict", "hyper_parameters", "hparams_name", "ImageDataModule", "pytorch", "cnnexp", "epoch")
    ways = [way for way in mutations(checkpoint) if way[0].startswith(asked)]
    try:
        for where, change in islice(ways, 0, None, max(1, 2 * len(ways) // EACH)):
            torch.save(change(checkpoint), best)
            said = answer(answers)
            if not isinstance(said, str):
                believed += [where] if said != right else []
            else:
                assert told(said, best), f"{where}: {said}"
    finally:
        best.write_bytes(whole)
    known = r"ImageDataModule\.(brightness: (gone|None)|levels: (gone|None)|class_names\.\d: .*)"
    assert [where for where in believed if not re.fullmatch(known, where)] == []
