"""A folder of images, one folder a class: which files it is made of, and what their contents are."""

import logging
import os
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias

from cnnexp.data.digests import digests_of
from cnnexp.data.image_file import format_of, image_extensions, install_for
from cnnexp.data.layout import LAYOUT, read_layout
from cnnexp.errors import CnnexpError

log = logging.getLogger(__name__)

OnCorrupt: TypeAlias = Literal["error", "skip"]
_Owner: TypeAlias = tuple[str, str]
"""The part and the class that a folder's images are of."""

SPLITS = ("train", "val", "test")
_NAMED = 3  # files that a message names


@dataclass(frozen=True)
class Listing:
    """The files of a data set; equal listings have the same images.

    Args:
        root: the folder.
        files: path of each file relative to the root; the training images, then the validation images where
            there are some of its own, then the test images.
        digests: of each file's bytes, in hexadecimal.
        labels: class of each file.
        test_from: number of the first test image.
        class_names: the name of each label.
        val_from: number of the first validation image, ``test_from`` where there are none.
    """

    root: Path
    files: tuple[str, ...]
    digests: tuple[str, ...]
    labels: tuple[int, ...]
    test_from: int
    class_names: tuple[str, ...]
    val_from: int


def list_images(root: Path, on_corrupt: OnCorrupt = "error") -> Listing:
    """List a folder laid out as ``train/<class>/…`` and ``test/<class>/…``, or as one folder a class.

    docs/data.md has what becomes of each file. Without test/ there is no test part, without val/ no validation
    part. What is left out is told in the log.

    Raises:
        CnnexpError: when the folder is missing, can't be read or is laid out in another way.
    """
    try:
        return _list_images(root, on_corrupt)
    except OSError as error:
        told = f"can't read the folder data.root={root}: {error.strerror}, {error.filename}"
        raise CnnexpError(printable(told)) from None
    except CnnexpError as error:  # folders' names may have in them what a terminal would obey
        raise CnnexpError(printable(str(error))) from None


def _list_images(root: Path, on_corrupt: OnCorrupt) -> Listing:
    if not root.is_dir():
        raise CnnexpError(f"there is no folder {root}; data.root=DIR names one with {LAYOUT}")
    layout = read_layout(root)
    starts = {
        (part, name): os.path.join(root, folder, name)
        for part, folder in layout.parts.items()
        for name in layout.classes[part]
    }
    walk = _Walk(root)
    walk.through(starts)
    names = {
        part: _class_names([name for name in layout.classes[part] if (part, name) not in walk.left_out])
        for part in layout.parts
    }
    classes = sorted(set(names.get("", names.get("train", {})).values()))
    for part in names:
        odd = sorted(set(classes) ^ set(names[part].values()))
        if odd:
            told = ", ".join(name if name == name.strip() else repr(name) for name in odd)
            raise CnnexpError(
                f"{root}: the class folders of train/ and {part}/ differ: {told} "
                f"{'is' if len(odd) == 1 else 'are'} in only one of them; both need the same, letter by letter"
            )
    parts: dict[str, list[tuple[str, int]]] = {}
    for part, folders in names.items():
        found: dict[str, list[str]] = defaultdict(list)
        for folder, name in folders.items():
            found[name] += walk.found[part, folder]
        for label, name in enumerate(classes):
            if not found[name]:
                raise CnnexpError(_no_images(root / layout.parts[part], name, walk))
            parts.setdefault(part or "train", []).extend((path, label) for path in sorted(found[name]))
    above = {path for folder in layout.parts.values() for path in (Path(folder), *Path(folder).parents)}
    loose = [
        os.path.join(path, entry.name) if path.parts else entry.name
        for path in sorted(above)
        for entry in os.scandir(root / path)
        if _counts(entry.name) and not entry.is_dir()
    ]
    if layout.strays:
        kind = "class" if "" in layout.parts else "part"
        log.warning("left out, as no %s of the data set: %s", kind, _some(f"{name}/" for name in layout.strays))
    if loose:
        log.warning("left out, as they are in no class's folder: %s", _some(loose))
    walk.tell()
    return list_files(root, parts, classes, on_corrupt)


def _class_names(folders: Sequence[str]) -> dict[str, str]:
    """Return each class folder's name as text: one form of Unicode, and nothing that a terminal would obey.

    The two forms that é can have, as one character and as e with an accent, are one class. Bytes that are no
    UTF-8, line breaks and the like are written as their escapes.
    """
    named = {folder: printable(folder) for folder in folders}
    forms = defaultdict(set)
    for folder, name in named.items():
        forms[name].add(unicodedata.normalize("NFC", folder))
    for folder, name in named.items():
        if len(forms[name]) > 1 and name != folder:  # a folder that is called as another's escapes
            named[folder] = f"{name} ({sorted(forms[name]).index(unicodedata.normalize('NFC', folder)) + 1})"
    return named


def printable(name: str) -> str:
    """Return a name in Unicode's NFC with control characters, surrogates and changes of direction as escapes."""
    text = os.fsencode(name).decode("utf-8", "backslashreplace")
    return "".join(
        char.encode("unicode_escape").decode()
        if unicodedata.category(char) in ("Cc", "Cs", "Zl", "Zp") or char in "\u202a\u202b\u202c\u202d\u202e"
        or char in "\u2066\u2067\u2068\u2069"
        else char
        for char in unicodedata.normalize("NFC", text)
    )  # fmt: skip


def _no_images(folder: Path, name: str, walk: "_Walk") -> str:
    inside = f"{folder / name}{os.sep}"
    unread = [path for path in walk.unread if os.path.join(walk.root, path).startswith(inside)]
    others = f" but {len(unread)} files of other kinds ({_some(unread)})" if unread else ""
    how = next((f"; {hint}" for path in unread if (hint := install_for(os.path.join(walk.root, path)))), "")
    return f"the class folder {folder / name} has no images{others}{how}; put some there or remove the folder"


def _counts(name: str) -> bool:
    return not name.startswith(".")


def _some(names: Iterable[str]) -> str:
    every = [printable(name) for name in names]
    return ", ".join(every[:_NAMED]) + (f" and {len(every) - _NAMED} more" if len(every) > _NAMED else "")


@dataclass
class _Walk:
    """What is below the class folders: each folder once, wherever links lead."""

    root: Path
    found: dict[_Owner, list[str]] = field(default_factory=lambda: defaultdict(list))
    unread: list[str] = field(default_factory=list)
    left_out: set[_Owner] = field(default_factory=set)
    _seen: dict[str, tuple[_Owner, str, bool]] = field(default_factory=dict)
    _links: list[tuple[str, _Owner]] = field(default_factory=list)
    _back: list[str] = field(default_factory=list)

    def through(self, starts: dict[_Owner, str]) -> None:
        """Find the images below each class's folder.

        Folders come first and links to folders then: one that leads to what was met already, or above it, would
        give images a second class, or no end.

        Raises:
            CnnexpError: for a folder that links give two classes.
        """
        for owner, path in starts.items():
            if os.path.islink(path):
                self._links.append((path, owner))
            else:
                self._into(path, owner, linked=False)
        root = os.path.realpath(self.root)
        while self._links:
            path, owner = self._links.pop(0)
            real = os.path.realpath(path)
            inside = os.path.join(real, "")
            above = os.path.join(root, "").startswith(inside)
            # what only links led to is no folder of the data set: whether it has two classes is seen on the way
            if above or any(
                not met[2] and f"{folder}{os.sep}".startswith(inside) for folder, met in self._seen.items()
            ):
                self._back.append(self._relative(path))
                if starts.get(owner) == path:
                    self.left_out.add(owner)
            else:
                self._into(path, owner, linked=True)

    def _into(self, top: str, owner: _Owner, linked: bool) -> None:
        extensions = image_extensions()
        waiting = [top]
        while waiting:  # strings, not Paths: this runs over every file, for each job of a sweep
            here = waiting.pop()
            real = os.path.realpath(here)
            met = self._seen.get(real)
            if met is not None:
                if met[0] != owner:
                    raise CnnexpError(
                        f"{self._relative(here)} and {self._relative(met[1])} are the same folder by a link: its "
                        "images would have two classes or parts; remove one of them"
                    )
                continue
            self._seen[real] = owner, here, linked
            with os.scandir(here) as entries:
                for entry in entries:
                    if not _counts(entry.name):
                        continue
                    if not entry.is_dir():
                        whole = os.path.splitext(entry.name)[1].lower() in extensions or format_of(entry.path)
                        (self.found[owner] if whole else self.unread).append(self._relative(entry.path))
                    elif entry.is_symlink():
                        self._links.append((entry.path, owner))
                    else:
                        waiting.append(entry.path)

    def _relative(self, path: str) -> str:
        return path[len(os.path.join(self.root, "")) :]

    def tell(self) -> None:
        """Say what was left out."""
        if self._back:
            log.warning("left out, as these links lead back into the data set: %s", _some(sorted(self._back)))
        if not self.unread:
            return
        kinds = Counter(os.path.splitext(path)[1].lower() or "no extension" for path in self.unread)
        told = ", ".join(f"{count} {printable(kind)}" for kind, count in kinds.most_common(5))
        hints = dict.fromkeys(install_for(os.path.join(self.root, path)) for path in sorted(self.unread))
        log.warning(
            "left out, as no images that can be read: %d files (%s), such as %s%s",
            len(self.unread), told, _some(sorted(self.unread)), "".join(f"; {hint}" for hint in hints if hint),
        )  # fmt: skip


def list_files(
    root: Path,
    parts: dict[str, list[tuple[str, int]]],
    class_names: Sequence[str],
    on_corrupt: OnCorrupt = "error",
) -> Listing:
    """Return a listing of files, by their contents.

    Args:
        root: the folder that their paths are relative to.
        parts: of train, val and test, each file's path and label.
        class_names: the name of each label.
        on_corrupt: "skip" leaves out, and names, what is no file that can be read.

    Raises:
        CnnexpError: for what is no file that can be read.
    """
    ordered = [(part, *sample) for part in SPLITS for sample in parts.get(part, [])]
    digests = digests_of(root, [path for _, path, _ in ordered])
    wrong = [(path, said) for (_, path, _), said in zip(ordered, digests, strict=True) if said.startswith("!")]
    if wrong and on_corrupt == "error":
        path, said = wrong[0]
        raise CnnexpError(
            f"can't read {os.path.join(root, path)}: {said[1:]}; "
            "mend or remove it, or type data.on_corrupt=skip: such files are left out then"
        )
    if wrong:
        log.warning("%d files can't be read and are left out: %s", len(wrong), _some(path for path, _ in wrong))
    kept = [(*one, said) for one, said in zip(ordered, digests, strict=True) if not said.startswith("!")]
    counts = Counter(part for part, *_ in kept)
    return Listing(
        root,
        tuple(path for _, path, _, _ in kept),
        tuple(digest for *_, digest in kept),
        tuple(label for _, _, label, _ in kept),
        counts["train"] + counts["val"],
        tuple(class_names),
        counts["train"],
    )
