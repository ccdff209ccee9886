"""Which images of a data set train, validate and test: drawn, or as a run recorded it."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import torch
from torch import Tensor

from cnnexp.data.duplicates import Labelled, find_duplicates, refuse
from cnnexp.data.image_folder import printable
from cnnexp.data.recorded_split import Record, reuse
from cnnexp.data.sets import Images
from cnnexp.data.split import hold_out_test, split
from cnnexp.errors import CnnexpError

log = logging.getLogger(__name__)

Part: TypeAlias = Literal["train", "val", "test"]
Parts: TypeAlias = dict[Part, tuple[Part, Tensor]]
"""Of each part, the part of the data set that it is taken from, and which of its images it is: int64."""


@dataclass(frozen=True)
class Drawing:
    """How a data set is split.

    Args:
        source: the data set.
        val_size: see ``cnnexp.data.split.split``; None: validate on the test.
        train_size: see there.
        seed: of the draw.
    """

    source: Images
    val_size: int | float | None
    train_size: int | float | None
    seed: int

    def parts(self, root: str, record: Record | None, only_test: bool, fingerprint: str | None) -> Parts:
        """Return the parts as a run recorded them, or else drawn; what has changed since then is told in the log.

        Args:
            root: where the data set is from.
            record: the run's; None for a data set without files, or without a run.
            only_test: see ``recorded``.
            fingerprint: of the data set that the run began with; None where that isn't known.
        """
        found = None if record is None else self.recorded(record, only_test)
        parts, told = (self.drawn(), "") if found is None else found
        if told:
            log.warning("since the run's split was recorded, images of %s changed: %s", root, told)
        # of other files than the run's it is known that they are another data set
        elif (record is None) == (found is None) and fingerprint not in (None, self.source.fingerprint()):
            log.warning(
                "the images or labels of %s aren't those that the run began with: data_fingerprint is another",
                root,
            )
        return parts

    def drawn(self, tested: Tensor | None = None) -> Parts:
        """Draw the parts that the data set doesn't have; ``tested`` of its training images are the test."""
        source = self.source
        pool = torch.arange(len(source.train_labels))
        test: tuple[Part, Tensor]
        if tested is not None:
            left = torch.ones(len(pool), dtype=torch.bool)
            left[tested] = False
            pool, test = pool[left], ("train", tested)
        elif source.test_labels is None:
            pool, held_out = hold_out_test(source.train_labels, source.class_names)
            test = ("train", held_out)
        else:
            test = ("test", torch.arange(len(source.test_labels)))
        val_size = None if source.val_labels is not None else self.val_size
        train, drawn = split(source.train_labels[pool], val_size, self.train_size, self.seed, source.class_names)
        val: tuple[Part, Tensor] = ("train", pool[drawn])
        if self.val_size is None:
            val = test
        elif source.val_labels is not None:
            val = ("val", torch.arange(len(source.val_labels)))
        return {"train": ("train", pool[train]), "val": val, "test": test}

    def recorded(self, record: Record, only_test: bool) -> tuple[Parts, str] | None:
        """Return the parts by a run's record, and what has changed since; None for another data set.

        What was trained on is never tested, what tests never trains, whatever the files are called now. Images
        that the record doesn't know train, unless ``train_size`` says how many do; where the data set has a
        validation or a test part of its own, those in it validate or test.

        Args:
            record: the run's.
            only_test: draw training and validation anew, from what doesn't test.

        Raises:
            CnnexpError: where none of the images that test is there.
        """
        source = self.source
        if source.files is None:
            return None
        found = reuse(record, [entry for part in ("train", "val", "test") for entry in source.files[part]])
        if not any(found.parts.values()):
            return None
        parts, new = found.parts, found.new
        home: Part = "train" if source.test_labels is None else "test"
        tested = self._among([*parts["test"], *(new if home == "test" else ())], home)
        if not len(tested):
            raise CnnexpError(
                "none of the images that the run is tested on is there as it was: bring them back, or train a new "
                "run on these"
            )
        if only_test:
            return self.drawn(tested if home == "train" else None), found.told
        train = self._among([*parts["train"], *(new if self.train_size is None else ())], "train")
        test: tuple[Part, Tensor] = (home, tested)
        val = test
        if self.val_size is not None and source.val_labels is not None:
            val = ("val", self._among([*parts["val"], *new], "val"))
        elif self.val_size is not None:
            val = ("train", self._among(parts["val"], "train"))
        if not (len(train) and len(val[1])):  # the same test beside other images to train on
            return self.drawn(tested if home == "train" else None), found.told
        joining = "; what is new joins training, never the test" if new and self.train_size is None else ""
        return {"train": ("train", train), "val": val, "test": test}, found.told and found.told + joining

    def _among(self, places: Sequence[int], part: Part) -> Tensor:
        """Return as indices into a part of the data set those places in all of it that lie there."""
        files = self.source.files
        assert files is not None
        start = sum(len(files[one]) for one in ("train", "val", "test")[: ("train", "val", "test").index(part)])
        inside = [place - start for place in places if start <= place < start + len(files[part])]
        return torch.tensor(inside, dtype=torch.int64)


def record_of(source: Images, parts: Parts) -> Record:
    """Return which files of a data set train, validate and test, and which of its training part do neither."""
    files = source.files
    assert files is not None
    entries = {part: [files[kept][i] for i in places.tolist()] for part, (kept, places) in parts.items()}
    if parts["val"] is parts["test"]:
        entries["val"] = list(files["val"])
    used = {i for kept, places in parts.values() if kept == "train" for i in places.tolist()}
    rest = [entry for i, entry in enumerate(files["train"]) if i not in used]
    return {"train": entries["train"], "val": entries["val"], "test": entries["test"], "rest": rest}


def without_duplicates(source: Images, parts: Parts, duplicates: Literal["warn", "drop", "error"]) -> Parts:
    """Return the parts without, or with, images that are in two of them, or in two classes; say so.

    Raises:
        CnnexpError: where there are some and ``duplicates`` is "error".
    """
    named: dict[str, list[Labelled]] = {part: _labelled(source, *place) for part, place in parts.items()}
    if parts["val"] is parts["test"]:
        del named["val"]
    told, leave = find_duplicates(named)
    if not told:
        return parts
    if duplicates == "error":
        raise refuse(told)
    if duplicates == "warn":
        log.warning("%s; data.duplicates=drop leaves them out of training", told)
        return parts
    log.info("%s: left out of training", told)
    kept_parts = dict(parts)
    both: tuple[Part, ...] = ("train", "val")
    for part in both:
        if part in named:
            kept, places = parts[part]
            stay = torch.tensor([digest not in leave[part] for digest, _, _ in named[part]], dtype=torch.bool)
            kept_parts[part] = kept, places[stay]
    return kept_parts


def _labelled(source: Images, kept: Part, places: Tensor) -> list[Labelled]:
    """Return the digest, the label and the name of images of a part of a data set."""
    digests, labels = source.digests[kept], source.part(kept)[1][places].tolist()
    files = source.files[kept] if source.files is not None else None
    return [
        (digests[i], label, printable(files[i][0]) if files is not None else f"{kept} image {i}")
        for i, label in zip(places.tolist(), labels, strict=True)
    ]
