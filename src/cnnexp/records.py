"""Read what a run or a sweep left behind as data of a limited size: the folder may be a stranger's."""

import io
import os
import stat
from pathlib import Path
from typing import Any

import yaml

from cnnexp.errors import CnnexpError, first_line

MOST_BYTES = 4 << 20
"""Of one record; ours have a few thousand."""
_DEEPEST = 50
MOVED = {"model.label_smoothing": "model.loss.label_smoothing"}
"""Settings of older records, and what they are called now."""
# libyaml's, where PyYAML was built with it, reads a thousand runs in seconds
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def read_bytes(path: Path, most: int = MOST_BYTES) -> bytes:
    """Return what a record holds; raises CnnexpError for one that is larger than ``most`` bytes, or is no file."""
    # without waiting, as one would at a pipe
    with open(os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0)), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise CnnexpError(f"{path} isn't a file")
        large = os.fstat(file.fileno()).st_size > most
        content = b"" if large else file.read(most + 1)
    if large or len(content) > most:
        raise CnnexpError(f"{path} has more than {most >> 20} MiB: no record of ours is that large")
    return content


def read_text(path: Path, most: int = MOST_BYTES) -> str:
    """Return the same as text."""
    return read_bytes(path, most).decode("utf-8")


def checked(path: Path) -> io.StringIO:
    """Return the text of a YAML record, to be loaded: one that becomes no larger by that than it is on the disk.

    Raises:
        CnnexpError: for one that is too large or too deep, or in which a part stands for another (``*alias``): a
            few of these stand for any number of values.
    """
    text = read_text(path)
    depth = 0
    try:
        for event in yaml.parse(text, Loader=_Loader):
            if isinstance(event, yaml.AliasEvent):
                raise CnnexpError(f"{path} has aliases (*{event.anchor}), which no record of ours has")
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > _DEEPEST:
                raise CnnexpError(f"{path} is nested more than {_DEEPEST} deep: no record of ours is")
    except yaml.YAMLError as error:
        raise CnnexpError(f"{path} can't be read: {first_line(error)}") from None
    return io.StringIO(text)


def read_yaml(path: Path) -> Any:
    """Return what a YAML record holds; raises as `checked`, and OSError."""
    return yaml.load(checked(path), _Loader)


def as_now(settings: Any) -> Any:
    """Return recorded settings, plain values, as they would be recorded now; what is no record is left alone.

    A smoothing of the labels was the network's before the loss was a choice. A network of one's own may have an
    argument of that name.
    """
    model = settings.get("model") if isinstance(settings, dict) else None
    if not isinstance(model, dict) or "loss" in model or not str(model.get("_target_")).startswith("cnnexp."):
        return settings
    if "label_smoothing" not in model:
        return settings
    rest = {key: value for key, value in model.items() if key != "label_smoothing"}
    loss = {"label_smoothing": model["label_smoothing"], "class_weights": None}
    return {**settings, "model": {"loss": {"_target_": "cnnexp.models.losses.CrossEntropy", **loss}, **rest}}


def refuse_links(folder: Path) -> None:
    """Raise CnnexpError for links that lead out of a folder that is written into, and for what is no file.

    Whoever made such a folder would have us write over any file.
    """
    root = folder.resolve()
    for here, folders, files in os.walk(root):
        # its package links to logs of its own, and writes into new folders only
        if Path(here).name == "wandb" and Path(here).with_name(".hydra").is_dir():
            folders.clear()
            continue
        for name in (*folders, *files):
            path = Path(here, name)
            if path.is_symlink():
                led = path.resolve()
                if root not in led.parents:
                    raise CnnexpError(
                        f"{path} is a link to {led}, outside of {root.name}; remove it to go on here"
                    )
            elif not (path.is_dir() or path.is_file()):
                raise CnnexpError(f"{path} is neither a file nor a folder; remove it to go on here")
