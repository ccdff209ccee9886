"""What the folders at the top of an image folder are: parts, classes, or neither."""

import logging
import os
import re
import unicodedata
from dataclasses import dataclass
from pathlib import Path

from cnnexp.errors import CnnexpError

LAYOUT = "train/<class>/… and test/<class>/…, or one folder a class"

log = logging.getLogger(__name__)

_PARTS = {
    "train": re.compile(r"(?:train|trn)(?:ings?|val)?|tra?|entrenamiento|entra[iî]nement|treino|训练|訓練|学習"),
    "val": re.compile(
        r"val(?:id(?:ation|ate|ating|ierung|aci[oó]n|ação)?)?s?|dev(?:elopment)?|eval(?:uation)?|验证|驗證|検証"
    ),
    "test": re.compile(r"te?sts?(?:ing)?|te|prueba|teste|测试|測試|テスト"),
}
_NEUTRAL = re.compile(
    r"(?:data)?sets?|data|daten|images?|imgs?|bilder|photos?|pictures?|splits?|folds?|parts?|files?|集|データ"
)
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
    found, more = set(), False
    for word in _words(name):
        stem = re.sub(rf"(?<=.)(?:{_NEUTRAL.pattern})$", "", word)
        part = next((part for part, form in _PARTS.items() if form.fullmatch(word) or form.fullmatch(stem)), None)
        if part is not None:
            found.add(part)
        elif not _NEUTRAL.fullmatch(word):
            more = True
    if found == {"train", "val"}:
        found = {"train"}
    return (found.pop() if len(found) == 1 else None), not more


def _words(name: str) -> list[str]:
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", unicodedata.normalize("NFKC", name))
    return re.findall(r"[^\W\d_]+", spaced.casefold())


def read_layout(root: Path) -> Layout:
    """Return what the folders in an image folder are; what may be meant otherwise is told in the log.

    Raises:
        CnnexpError: where a part is missing or is there twice, there are fewer than two classes, or what would be
            a class is a part or a data set.
        OSError: where a folder can't be read.
    """
    hidden, visible = _hidden(root), _visible(root)
    named = _parts(root, visible)
    if named:
        used = set(named.values())
        parts = {part: _innermost(root, folder, part) for part, folder in named.items()}
        strays = [*hidden, *(name for name in visible if name not in used)]
        strays += [os.path.join(folder, name) for folder in parts.values() for name in _hidden(root / folder)]
    else:
        parts = {"": ""}
        strays = [*hidden, *(name for name in visible if _holds_runs(root / name, name))]
        strays += _deeper_than_the_others(root, [name for name in visible if name not in strays])
    classes = {}
    for part, folder in parts.items():
        classes[part] = [name for name in _visible(root / folder) if part or name not in strays]
        _check_number(root, parts, part, classes[part])
        _check_meant(root / folder, classes[part])
    return Layout(parts, classes, sorted(strays))


def _parts(root: Path, visible: list[str]) -> dict[str, str]:
    """Return the folder of each part; none where the names at the top are those of classes."""
    found: dict[str, list[str]] = {}
    of_class: dict[str, str] = {}
    have_classes = False
    for name in visible:
        part, alone = part_of(name)
        inside = part is not None and bool(_visible(root / name))
        if part is not None and not (inside or alone):
            of_class[part] = name
        # a class may be called "train": its folder has images and no folders; crash_test/ is no part without them
        if part is not None and (inside or alone):
            have_classes = have_classes or inside
            found.setdefault(part, []).append(name)
    if not have_classes and not {"train", "test"} <= found.keys():
        if {"train", "test"} <= of_class.keys():  # cats_train and cats_test would be two classes
            raise CnnexpError(
                f"{root} has {of_class['train']}/ and {of_class['test']}/, whose names have part and class in "
                f"one: lay them out as {LAYOUT}"
            )
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
    """Follow seg_train/seg_train/<class>, as archives unpack, and train/images/<class>."""
    while len(inside := _visible(root / folder)) == 1:
        inner, alone = part_of(inside[0])
        if inner != part and not (inner is None and alone and _words(inside[0])):
            break
        folder = os.path.join(folder, inside[0])
    return folder


def _check_number(root: Path, parts: dict[str, str], part: str, names: list[str]) -> None:
    """Raise CnnexpError for fewer than two classes, with what may have been meant."""
    if len(names) >= 2:
        return
    folder = root / parts[part]
    there = f"one, {names[0]}" if names else "none"
    hint = ""
    if part == "" and (meant := _likely(folder)) is not None:
        hint = f". Did you mean data.root={meant}?"
    elif part == "val":
        hint = f"; move {folder} away to have validation drawn from training"
    elif part == "test":
        hint = f"; to have a fifth held out for the test, type data.root={root / parts.get('train', 'train')}"
    tables = sorted(file.name for file in root.iterdir() if file.suffix.lower() == ".csv" and file.is_file())
    if tables and _has_files(folder if part else root / names[0] if names else root):
        hint += f"; if {tables[0]} says which class each image is of, see data=csv"
    raise CnnexpError(
        f"{folder} needs a folder for each of at least 2 classes, and has {there}; expected {LAYOUT}{hint}"
    )


def _likely(root: Path) -> Path | None:
    """Return what is the data set more likely than the folder around it; None where there is nothing like it."""
    level = [root]
    for _ in range(4):
        level = [here / name for here in level for name in _visible(here)][:100]
        for here in level:
            if any(part_of(name) == ("train", True) and _visible(here / name) for name in _visible(here)):
                return here
    while len(inside := _visible(root)) == 1:
        root = root / inside[0]
    return root if inside else None


def _check_meant(folder: Path, classes: list[str]) -> None:
    """Refuse a class that has parts in it, or is a data set or a fold by its name, and tell what is doubtful."""
    inside = {name: _visible(folder / name) for name in classes}
    for name, below in inside.items():
        parts = {part for part, alone in map(part_of, below) if alone and part}
        words = _words(name)
        of_a_set = any(map(_NEUTRAL.fullmatch, words)) and all(_NEUTRAL.fullmatch(w) or len(w) == 1 for w in words)
        fold = of_a_set and len(below) >= 2 and not _has_files(folder / name)
        if fold or ("train" in parts and len(parts) >= 2):
            raise CnnexpError(
                f"{folder / name} would be a class, and has {below[0]}/ and {below[1]}/ in it. If it is the data "
                f"set, type data.root={folder / name}; otherwise lay it out as {LAYOUT}"
            )
    first = next(iter(inside.values()))
    if len(first) >= 2 and all(below == first for below in inside.values()):
        log.warning(
            "the classes are %s, and each has the same folders in it (%s): if these are the classes, the folders "
            "around them must be called train, val and test", _few(classes), _few(first),
        )  # fmt: skip
    alike: dict[str, set[str]] = {}
    for name in classes:
        form = unicodedata.normalize("NFC", name)
        alike.setdefault(" ".join(form.casefold().split()), set()).add(form)
    for names in alike.values():
        if len(names) > 1:
            log.warning("%s are two classes: their names differ", " and ".join(map(repr, sorted(names))))


def _few(names: list[str]) -> str:
    return ", ".join(map(repr, names[:3])) + (", …" if len(names) > 3 else "")


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
    inside = {name: _visible(root / name) for name in names}
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


def _visible(folder: Path) -> list[str]:
    return [name for name in _subfolders(folder) if not name.startswith((".", "__"))]


def _hidden(folder: Path) -> list[str]:
    return [name for name in _subfolders(folder) if name.startswith((".", "__"))]


def _subfolders(folder: Path) -> list[str]:
    with os.scandir(folder) as entries:
        return sorted(entry.name for entry in entries if entry.is_dir())
