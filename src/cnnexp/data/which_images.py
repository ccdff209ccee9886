"""Which images validate, as a hash: runs that have the same can be compared image by image."""

from hashlib import blake2b
from typing import Any

from cnnexp.data.datamodule import ImageDataModule


def validated(data: Any, count: int) -> str | None:
    """Return a hash of the first images that validate and of their labels, in their order.

    Of image files it is of their bytes, so that it is the same at every ``image_size``; nothing that is done to
    the images afterwards changes it.

    Args:
        data: a data module, set up.
        count: of how many images, at least one; a limit of the trainer leaves out the others.

    Returns:
        Hexadecimal digits; None for a data module that isn't ours, or that has fewer images.
    """
    if not isinstance(data, ImageDataModule):
        return None
    kept = data._parts["val"][0]
    # not the part's own order: under a limit the first batches are a stratified part
    places = data.val_dataloader().indices[:count]
    if not 0 < count == len(places):
        return None
    digests, labels = data._source.digests[kept], data._source.part(kept)[1][places].tolist()
    whole = blake2b(digest_size=16)
    for place, label in zip(places.tolist(), labels, strict=True):
        whole.update(f"{digests[place]} {label}\n".encode())
    return whole.hexdigest()
