"""Which names in a recorded run may be called: a record may be a stranger's, and a ``_target_`` is a call.

Names are compared as text before anything is imported, because importing runs code too.
"""

import os
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import yaml
from hydra.core.hydra_config import HydraConfig

from cnnexp.command.arguments import Typed, value_of
from cnnexp.command.resolvers import config_folder
from cnnexp.errors import CnnexpError

# constructors that do nothing but keep their arguments: torch's optimizers and losses, torchmetrics of classes
_HARMLESS = re.compile(
    r"torch\.optim\.[A-Z][A-Za-z]*|torch\.nn\.[A-Z][A-Za-z]*Loss|torchmetrics\.classification\.[A-Z][A-Za-z0-9]*"
    r"|torchmetrics\.(AUROC|Accuracy|AveragePrecision|CalibrationError|CohenKappa|ExactMatch|F1Score|FBetaScore"
    r"|HammingDistance|HingeLoss|JaccardIndex|MatthewsCorrCoef|NegativePredictiveValue|Precision|Recall|Specificity)"
)
_BUILDER = re.compile(r"torchvision\.models\.([a-z][a-z0-9_]*)")
# what of a record says where is written, or to whom; all else a run writes into its own folder
_WRITING = ("trainer", "logger", "callbacks")
_PLACES = r"(dir|dirpath|directory|folder|root|uri|url|location|path|file|filename|host|_args_)"
_PLACE = re.compile(rf"{_PLACES}$")
_PLACE_WITHIN = re.compile(rf"{_PLACES}\W*[:=]")  # in a value that is a dict as it is typed
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def refuse_strangers(settings: Mapping[str, Any], source: str, trusted: Collection[str] = ()) -> None:
    """Raise CnnexpError unless all that recorded settings call is named in conf/ or is ``trusted``.

    Args:
        settings: plain values.
        source: what the settings are from, for the message, such as ``run=outputs/…``.
        trusted: further names, such as ``mypackage.MyNetwork``.
    """
    for path, key, value in _walk(settings, ""):
        # a logger's folder is named by its key
        if not all(character.isalnum() or character in "_-" for character in key):
            raise CnnexpError(f"{source}: its record has the key {key!r}, which is no setting's name")
        if key != "_target_":
            continue
        if not _may_call(value, trusted):
            raise CnnexpError(
                f"{source}: its record wants to call {path}={value}, which may run any code, so it isn't called.\n"
                f"If you know it, say so by typing {path}={value}, or name it in a file of your --config-dir"
            )


def refuse_places(settings: Mapping[str, Any], source: str, typed: Typed) -> None:
    """Raise CnnexpError where recorded settings name a place of their own to write to, or a server to tell.

    A run writes into its own folder; elsewhere, such as to a profiler's ``dirpath``, where that is typed.
    """
    for path, key, value in _walk({group: settings.get(group) for group in _WRITING}, ""):
        if _names_place(key, value) and typed.value(path) is None:
            raise CnnexpError(
                f"{source}: its record writes to a place of its own, {path}={str(value)[:80]}.\n"
                "If you mean that, type it; else type another, or null"
            )


def _names_place(key: str, value: Any) -> bool:
    texts = [text for text in (value if isinstance(value, (list, tuple)) else [value]) if isinstance(text, str)]
    named = _PLACE.search(key) or any(re.search(r"[/\\~]", text) for text in texts)
    return bool(named and texts) and not all(text in _own_places() for text in texts)


@lru_cache(maxsize=1)
def _own_places() -> frozenset[str]:
    """Return the places that conf/ names, such as the file of MLflow's runs."""
    found = []
    for group in _WRITING:
        for file in (config_folder() / group).glob("*.yaml"):
            found += re.findall(r"\$\{oc\.env:(\w+),([^}]*)\}", file.read_text(encoding="utf-8"))
    return frozenset({"", *(place for _, place in found), *(os.environ.get(name, "") for name, _ in found)})


def refuse_strange_overrides(overrides: Sequence[Any], source: str, trusted: Collection[str] = ()) -> None:
    """Raise CnnexpError unless recorded overrides, as a resumed sweep replays them, only set plain values.

    Of Hydra itself they may choose and set up the launcher and the sweeper: anything else there (callbacks,
    logging, the search path, a launcher's shell commands) could run code.
    """
    for override in overrides:
        if not (isinstance(override, str) and _is_plain(override, trusted)):
            raise CnnexpError(
                f"{source}: its record has the override {override!r}, which may run any code, so it isn't used.\n"
                "If you know it, start the sweep again by typing its command"
            )


def _is_plain(override: str, trusted: Collection[str]) -> bool:
    key, _, value = override.partition("=")
    key = key.lstrip("+~")
    if not re.fullmatch(r"[A-Za-z_][\w./-]*", key) or "${" in value:
        return False
    if key.endswith("._target_"):
        return not key.startswith("hydra") and all(_may_call(name, trusted) for name in value.split(","))
    if "_target_" in override:
        return False
    if key.startswith("hydra"):
        if key in ("hydra/launcher", "hydra/sweeper", "hydra/sweeper/sampler"):
            return re.fullmatch(r"\w+", value) is not None
        plain = re.fullmatch(r"hydra\.(launcher|sweeper)\.[a-z_]+", key) and re.fullmatch(r"[\w.:-]*", value)
        named = _PLACE.search(key) or key in ("hydra.sweeper.storage", "hydra.launcher.python")
        return plain is not None and not named
    if key.partition(".")[0] in _WRITING and (_names_place(key, value) or _PLACE_WITHIN.search(value)):
        return False
    if key.partition(".")[0] == "task":
        return override == "task=fit"
    # a choice is a file's name, which mustn't lead out of conf/
    return "." in key or not re.search(r"\.\.|(^|[=,])/", value)


def trusted_by(typed: Typed) -> frozenset[str]:
    """Return the names that a command's own overrides and its config folders give as ``_target_``."""
    return _trusted(typed.folders, typed.overrides)


def trusted_by_this_job() -> frozenset[str]:
    """Return the same for the command that is running; nothing in a notebook."""
    if not HydraConfig.initialized():
        return frozenset()
    hydra = HydraConfig.get()
    folders = [Path(source.path) for source in hydra.runtime.config_sources if source.schema == "file"]
    return _trusted(folders, list(hydra.overrides.task))


def _may_call(name: Any, trusted: Collection[str]) -> bool:
    if not isinstance(name, str):
        return False
    known = name in named_in(config_folder()) or name in trusted or _HARMLESS.fullmatch(name) is not None
    return known or _is_torchvision_model(name)


def _is_torchvision_model(name: str) -> bool:
    """Whether torchvision registers a classification model of this name; asked only where it looks so."""
    builder = _BUILDER.fullmatch(name)
    if builder is None or find_spec("torchvision") is None:
        return False
    from torchvision import models

    return builder[1] in models.list_models(module=models)


def _trusted(folders: Iterable[Path], overrides: Sequence[str]) -> frozenset[str]:
    names: set[str] = set()
    for folder in folders:
        names |= named_in(folder.absolute())
    for key in {override.partition("=")[0].lstrip("+") for override in overrides}:
        if key.endswith("._target_") and (value := value_of(key, overrides)) is not None:
            names.add(value)
    return frozenset(names)


@lru_cache(maxsize=8)
def named_in(folder: Path) -> frozenset[str]:
    """Return every ``_target_`` that the config files below a folder name."""
    names = set()
    for file in sorted(folder.rglob("*.yaml")):
        try:
            content = yaml.load(file.read_text(encoding="utf-8"), _Loader)
        except (OSError, ValueError, yaml.YAMLError):
            continue  # if it is used, Hydra says what is wrong
        names |= {value for _, key, value in _walk(content, "") if key == "_target_" and isinstance(value, str)}
    return frozenset(names)


def _walk(node: Any, path: str) -> Iterator[tuple[str, str, Any]]:
    """Yield (path, key, value) of each entry of a mapping, at any depth."""
    if isinstance(node, Mapping):
        for key, value in node.items():
            below = f"{path}.{key}" if path else str(key)
            yield below, str(key), value
            yield from _walk(value, below)
    elif isinstance(node, (list, tuple)):
        for number, value in enumerate(node):
            yield from _walk(value, f"{path}[{number}]")
