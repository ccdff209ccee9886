"""Which images a run was trained, validated and tested on, as its folder records it and as it is used again."""

import json
import os
import zlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from cnnexp.errors import CnnexpError

FILE = "split.json.gz"
PARTS = ("train", "val", "test", "rest")
"""``rest`` is what ``data.train_size`` leaves."""
Entry: TypeAlias = tuple[str, str]
Record: TypeAlias = Mapping[str, Sequence[Entry]]
"""Of each part, each image file's path and the digest of its bytes, in the order that it is used in."""
_MOST = 256 << 20  # bytes that a record may unpack to: two million files


def encode(record: Record) -> bytes:
    """Return a record as the bytes of a gzipped JSON file; equal records give equal bytes."""
    packer = zlib.compressobj(wbits=31)
    return packer.compress(json.dumps(record).encode()) + packer.flush()


def decode(content: bytes) -> Record:
    """Return what ``encode`` was given; raises CnnexpError for anything else, whoever wrote it."""
    try:
        unpacker = zlib.decompressobj(wbits=31)
        text = unpacker.decompress(content, _MOST)
        if unpacker.unconsumed_tail or not unpacker.eof:
            raise ValueError("too long, or cut off")
        found = json.loads(text)
        parts = {part: [(name, digest) for name, digest in found[part]] for part in PARTS}
        if not all(isinstance(one, str) for entries in parts.values() for entry in entries for one in entry):
            raise ValueError("entries are a path and a digest")
        return parts
    except (ValueError, KeyError, TypeError, zlib.error, RecursionError) as error:
        raise CnnexpError(f"the run's {FILE} is damaged: {error}; without it nobody knows its test set") from None


@dataclass(frozen=True)
class Reused:
    """The images of a data set by the part of a record that they are of.

    Args:
        parts: of train, val, test and rest, the places of images in the data set, in the record's order.
        new: the places of the images that the record doesn't know.
        told: what has changed since, "" where nothing has.
    """

    parts: dict[str, list[int]]
    new: list[int]
    told: str


def reuse(record: Record, files: Sequence[Entry]) -> Reused:
    """Find a record's images among those that are there now: by their contents, whatever they are called.

    A copy of an image that tests or validates is of no part. Neither is an image that was altered where one that
    tests or validates was.

    Args:
        record: the run's.
        files: of each image that is there, its path and digest; of identical ones that is preferred whose path is
            recorded.
    """
    places = defaultdict(list)
    for place, (_, digest) in enumerate(files):
        places[digest].append(place)
    names = {name: place for place, (name, _) in enumerate(files)}
    known = {digest for part in PARTS for _, digest in record[part]}
    parts: dict[str, list[int]] = {part: [] for part in PARTS}
    taken: set[int] = set()
    gone, altered, moved = [], [], []
    held = {digest for part in ("val", "test") for _, digest in record[part]}
    for part in PARTS:
        for name, digest in record[part]:
            free = [place for place in places.get(digest, ()) if place not in taken]
            here = names.get(name)
            if free:
                chosen = here if here is not None and here in free else free[0]
                taken.add(chosen)
                parts[part].append(chosen)
                if os.path.dirname(files[chosen][0]) != os.path.dirname(name):  # which may be another class
                    moved.append(name)
            elif here is not None and files[here][1] not in known:
                altered.append(name)
                if part in ("val", "test"):
                    taken.add(here)
            else:
                gone.append(name)
    new = [place for place, (_, digest) in enumerate(files) if place not in taken and digest not in held]
    changed = set(altered)
    added = [files[place][0] for place in new if files[place][0] not in changed]
    kinds = (("added", added), ("removed", gone), ("altered", altered), ("moved to another folder", moved))
    return Reused(parts, new, "; ".join(_told(kind, names) for kind, names in kinds if names))


def extended(before: Record, now: Record) -> Record:
    """Return a record with all that an earlier one of the same run had: what was trained on stays known."""
    known = {part: {digest for _, digest in before[part]} for part in PARTS}
    return {
        part: [*before[part], *(entry for entry in now[part] if entry[1] not in known[part])] for part in PARTS
    }


def _told(kind: str, names: Sequence[str]) -> str:
    shown = [name.encode("unicode_escape").decode() if not name.isprintable() else name for name in names[:3]]
    return f"{len(names)} {kind} ({', '.join(shown)}{', …' if len(names) > 3 else ''})"
