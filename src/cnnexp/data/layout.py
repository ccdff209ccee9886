"""What the folders at the top of an image folder are: parts, classes, or neither."""

import os
import re
import unicodedata
from dataclasses import dataclass
from pathlib import Path

from cnnexp.errors import CnnexpError

LAYOUT = "train/<class>/… and test/<class>/…, or one folder a class"

_PARTS = {
    "train": re.compile(r"(?:train|trn)(?:ing|val)?"),
    "val": re.compile(r"val(?:id(?:ation|ate|ating)?)?s?|dev(?:elopment)?|eval(?:uation)?"),
    "test": re.compile(r"tests?(?:ing)?"),
}
_NEUTRAL = re.compile(r"(?:data)?sets?|data|images?|imgs?|photos?|splits?|parts?|files?")
_RUN_FILES = {".hydra", "result.json", "metrics.csv", "checkpoints", "multirun.yaml"}
_OUTPUTS = {"outputs", "multirun", "lightning_logs"}
"""Where Hydra and Lightning put what they write."""


@dataclass(frozen=True)
class Layout:
    """Where the parts of an image folder are.

    Args:
        parts: of train, val and test, the folder that has its class folders, relative to the root; with the one
            part ``""`` the root itself has the class folders.
        classes: the names of the class folders of each part.
        strays: the folders at the top that are neither.
    """

    parts: dict[str, str]
    classes: dict[str, list[str]]
    strays: list[str]


def part_of(name: str) -> tuple[str | None, bool]:
    """Return the part that a folder's name names, and whether it says nothing else.

    Case doesn't count, nor what is no letter: one word of the name must be train, val or test in one of their
    forms, perhaps with ``set``, ``data`` or the like behind it: Training, seg_train, trainset, val2017, x-test.
    ``train_val`` is training; a name with ``test`` and another part is none.
    """
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", unicodedata.normalize("NFKC", name))
    found, more = set(), False
    for word in re.findall(r"[^\W\d_]+", spaced.casefold()):
        stem = re.sub(rf"(?<=.)(?:{_NEUTRAL.pattern})$", "", word)
        part = next((part for part, form in _PARTS.items() if form.fullmatch(word) or form.fullmatch(stem)), None)
        if part is not None:
            found.add(part)
        elif not _NEUTRAL.fullmatch(word):
            more = True
    if found == {"train", "val"}:
        found = {"train"}
    return (found.pop() if len(found) == 1 else None), not more


def read_layout(root: Path) -> Layout:
    """Return what the folders in an image folder are.

    Raises:
        CnnexpError: where a part is missing or is there twice, or there are fewer than two classes.
        OSError: where a folder can't be read.
    """
    top = _subfolders(root)
    hidden = [name for name in top if name.startswith((".", "__"))]
    visible = [name for name in top if name not in hidden]
    named = _parts(root, visible)
    if named:
        used = set(named.values())
        parts = {part: _innermost(root, folder, part) for part, folder in named.items()}
        strays = [name for name in top if name not in used]
    else:
        parts = {"": ""}
        strays = [*hidden, *(name for name in visible if _holds_runs(root / name, name))]
        strays += _deeper_than_the_others(root, [name for name in visible if name not in strays])
    classes = {}
    for part, folder in parts.items():
        inside = [name for name in _subfolders(root / folder) if not name.startswith((".", "__"))]
        classes[part] = [name for name in inside if part or name not in strays]
        _check_classes(root / folder, classes[part])
    return Layout(parts, classes, sorted(strays))


def _parts(root: Path, visible: list[str]) -> dict[str, str]:
    """Return the folder of each part; none where the names at the top are those of classes."""
    found: dict[str, list[str]] = {}
    have_classes = False
    for name in visible:
        part, alone = part_of(name)
        inside = part is not None and bool(_subfolders(root / name))
        # a class may be called "train": its folder has images and no folders; crash_test/ is no part without them
        if part is not None and (inside or alone):
            have_classes = have_classes or inside
            found.setdefault(part, []).append(name)
    if not have_classes and not {"train", "test"} <= found.keys():
        return {}
    for part, names in found.items():
        if len(names) > 1:
            told = " and ".join(f"{name}/" for name in names)
            raise CnnexpError(f"{root} has {told}, which both name the {part} part; move or rename all but one")
    named = {part: names[0] for part, names in found.items()}
    others = [name for name in visible if name not in named.values()]
    if "train" not in named:
        there = next(iter(named.values()))
        raise CnnexpError(
            f"{root} has {there}/ but no train/: move the class folders that are to be trained on into train/, or "
            f"rename {there}/ if it is a class"
        )
    if "test" not in named:
        beside = sorted([*others, *(name for part, name in named.items() if part != "train")])
        there = f" (there is {', '.join(f'{name}/' for name in beside[:3])})" if beside else ""
        raise CnnexpError(
            f"{root} has {named['train']}/ but no test/{there}: add test/<class>/… "
            f"or, to have a fifth held out for the test, type data.root={root / named['train']}"
        )
    return named


def _innermost(root: Path, folder: str, part: str) -> str:
    """Follow seg_train/seg_train/<class>, as archives unpack."""
    while len(inside := _subfolders(root / folder)) == 1 and part_of(inside[0])[0] == part:
        folder = os.path.join(folder, inside[0])
    return folder


def _check_classes(folder: Path, names: list[str]) -> None:
    if len(names) >= 2:
        return
    there = f"one, {names[0]}" if names else "none"
    raise CnnexpError(
        f"{folder} needs a folder for each of at least 2 classes, and has {there}; expected {LAYOUT}"
        + (f". Did you mean data.root={folder / names[0]}?" if names and _subfolders(folder / names[0]) else "")
    )


def _holds_runs(folder: Path, name: str) -> bool:
    """Whether something was written there that trains networks, to four levels below."""
    if name in _OUTPUTS:
        return True
    level = [str(folder)]
    for _ in range(4):
        below = []
        for path in level:
            with os.scandir(path) as entries:
                for entry in entries:
                    if entry.name in _RUN_FILES or entry.name.startswith("events.out.tfevents"):
                        return True
                    if entry.is_dir(follow_symlinks=False):
                        below.append(entry.path)
        level = below
    return False


def _deeper_than_the_others(root: Path, names: list[str]) -> list[str]:
    """Return the folders with nothing but folders of folders in them, where others have files of their own."""
    inside = {name: _subfolders(root / name) for name in names}
    files = {name: _has_files(root / name) for name in names}
    deeper = [
        name
        for name in names
        if not files[name] and inside[name] and not any(_has_files(root / name / below) for below in inside[name])
    ]
    return deeper if any(files.values()) else []


def _has_files(folder: Path) -> bool:
    with os.scandir(folder) as entries:
        return any(not entry.name.startswith(".") and not entry.is_dir() for entry in entries)


def _subfolders(folder: Path) -> list[str]:
    with os.scandir(folder) as entries:
        return sorted(entry.name for entry in entries if entry.is_dir())
