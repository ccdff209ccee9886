"""Image files of every format, mode and depth: read as they are meant, or named."""

import struct
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cnnexp import CnnexpError, ImageDataModule
from cnnexp.data.image_file import levels_of, load_photo, read_image

RED, GREEN, WHITE = (255, 0, 0), (0, 255, 0), (255, 255, 255)
DEEP = np.random.default_rng(0).integers(0, 4096, (6, 6, 4))
"""Colours of 12 bits and an opacity of 16."""
DEEP[..., 3] = np.where(DEEP[..., 3] < 2048, 0, 65535)
DEEP[0, 0], DEEP[0, 1] = (0, 1, 255, 65535), (256, 4000, 4095, 65535)
LEVELS = (0, 4095)


def png(pixels: np.ndarray, path: Path, chunks: bytes = b"") -> Path:
    """Write a 16-bit PNG of one channel (grey), two (with opacity), three or four: Pillow writes grey only."""
    height, width, channels = pixels.shape
    colour = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    header = struct.pack(">IIBBBBB", width, height, 16, colour, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunks
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )
    return path


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def tiff(pixels: np.ndarray, path: Path, order: str, packed: bool) -> Path:
    """Write a 16-bit TIFF of three or four channels in the order of bytes ``<`` or ``>``."""
    height, width, channels = pixels.shape
    content = pixels.astype(f"{order}u2").tobytes()
    content = zlib.compress(content) if packed else content
    bits = struct.pack(f"{order}{channels}H", *[16] * channels)
    tags = [
        (256, 3, 1, width), (257, 3, 1, height), (258, 3, channels, 8), (259, 3, 1, 8 if packed else 1),
        (262, 3, 1, 2), (273, 4, 1, 8 + len(bits)), (277, 3, 1, channels), (278, 3, 1, height),
        (279, 4, 1, len(content)), *([(338, 3, 1, 2)] if channels == 4 else []),
    ]  # fmt: skip
    fields = b"".join(
        struct.pack(f"{order}HHIH2x" if kind == 3 and count == 1 else f"{order}HHII", tag, kind, count, value)
        for tag, kind, count, value in tags
    )
    start = 8 + len(bits) + len(content)
    head = (b"II" if order == "<" else b"MM") + struct.pack(f"{order}HI", 42, start)
    path.write_bytes(head + bits + content + struct.pack(f"{order}H", len(tags)) + fields + bytes(4))
    return path


KEYED = chunk(b"tRNS", struct.pack(">HHH", 256, 4000, 4095))
WRITERS: dict[str, Callable[[Path], Path]] = {
    "grey.png": lambda path: png(DEEP[..., :1], path),
    "grey and opacity.png": lambda path: png(DEEP[..., [0, 3]], path),
    "colour.png": lambda path: png(DEEP[..., :3], path),
    "colour and opacity.png": lambda path: png(DEEP, path),
    "colour without one.png": lambda path: png(DEEP[..., :3], path, KEYED),
    **{
        f"{kind} {order} {packed}.tif": partial(tiff, DEEP[..., :channels], order=order, packed=packed)
        for kind, channels in (("colour", 3), ("colour and opacity", 4))
        for order in "<>"
        for packed in (False, True)
    },
}


@pytest.mark.parametrize("levels", [LEVELS, None], ids=["12 bits", "16 bits"])
@pytest.mark.parametrize("name", WRITERS)
def test_levels_of_16_bits_are_scaled_and_none_is_cut(name: str, levels, tmp_path: Path) -> None:
    file = WRITERS[name](tmp_path / name)
    colours = DEEP[..., [0, 0, 0]] if "grey" in name else DEEP[..., :3]
    assert levels_of(file) == (colours.min(), colours.max())
    top = 65535 if levels is None else levels[1]
    expected = (255 * colours / top + 0.5).astype(int)
    if "opacity" in name:
        expected[DEEP[..., 3] == 0] = 255
    if "without" in name:
        expected[0, 1] = 255
    assert np.array_equal(read_image(file, 6, levels), expected)


def test_a_folder_of_16_bit_colours_has_one_range(tmp_path: Path) -> None:
    for number, name in enumerate(("dark", "light")):
        (tmp_path / name).mkdir()
        for i in range(4):
            pixels = np.zeros((6, 6, 3), int)
            pixels[..., 0] = 20 * (i + 1 + 4 * number)
            png(pixels, tmp_path / name / f"{i}.png")
    data = ImageDataModule("image_folder", str(tmp_path), image_size=6, val_size=2)
    assert data.state_dict()["levels"] == [0, 255]
    seen = [data._source.train_images[i, :, 0, 0].tolist() for i in range(8)]
    assert seen == [[20 * (i + 1), 0, 0] for i in range(8)]


def arrow() -> Image.Image:
    """An image whose four corners differ, so that each way of turning it is seen."""
    image = Image.new("RGB", (64, 64), WHITE)
    for box, colour in (((0, 0, 32, 32), RED), ((32, 0, 64, 32), GREEN), ((0, 32, 32, 64), (0, 0, 255))):
        image.paste(colour, box)
    return image


TURNED = {
    1: None, 2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_90, 7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}  # fmt: skip


@pytest.mark.parametrize("turned", TURNED)
@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif", "16.png"])
def test_every_turn_of_a_camera_is_undone(suffix: str, turned: int, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = turned
    taken = arrow() if TURNED[turned] is None else arrow().transpose(TURNED[turned])
    file = tmp_path / f"a.{suffix}"
    if suffix == "16.png":
        png(np.asarray(taken).astype(int) * 257, file, chunk(b"eXIf", exif.tobytes().removeprefix(b"Exif\0\0")))
    else:
        taken.save(file, exif=exif, **({"lossless": True} if suffix == "webp" else {}))
    assert np.abs(read_image(file, 64).astype(int) - np.asarray(arrow())).mean() < 4


def frames(path: Path, **options: object) -> None:
    first, *others = (Image.new("RGB", (16, 16), colour) for colour in (RED, GREEN, WHITE))
    first.save(path, save_all=True, append_images=others, **options)


def clear(mode: str) -> Image.Image:
    """Red, without opacity."""
    return Image.new("RGBA", (16, 16), (255, 0, 0, 0)).convert(mode)


SEEN: dict[str, tuple[Callable[[Path], object], tuple[int, int, int]]] = {
    "frames.gif": (lambda path: frames(path, duration=9), RED),
    "frames.png": (lambda path: frames(path, duration=9), RED),
    "frames.webp": (lambda path: frames(path, lossless=True), RED),
    "pages.tif": (frames, RED),
    "two.mpo": (frames, RED),
    "progressive.jpg": (lambda path: Image.new("RGB", (16, 16), RED).save(path, progressive=True), RED),
    "grey.jpg": (lambda path: Image.new("L", (16, 16), 255).save(path), WHITE),
    "cmyk.tif": (lambda path: Image.new("RGB", (16, 16), RED).convert("CMYK").save(path), RED),
    "lzw.tif": (lambda path: Image.new("RGB", (16, 16), RED).save(path, compression="tiff_lzw"), RED),
    "bits.tif": (lambda path: Image.new("1", (16, 16), 1).save(path, compression="group4"), WHITE),
    "bits.bmp": (lambda path: Image.new("1", (16, 16), 1).save(path), WHITE),
    "palette.png": (lambda path: Image.new("RGB", (16, 16), RED).quantize(4).save(path), RED),
    "palette clear.png": (lambda path: Image.new("P", (16, 16), 0).save(path, transparency=0), WHITE),
    "clear.gif": (lambda path: Image.new("P", (16, 16), 0).save(path, transparency=0), WHITE),
    "clear.webp": (lambda path: clear("RGBA").save(path, lossless=True), WHITE),
    "clear.tif": (lambda path: clear("RGBA").save(path), WHITE),
    "grey clear.png": (lambda path: clear("LA").save(path), WHITE),
    "run.tga": (lambda path: Image.new("RGB", (16, 16), RED).save(path, compression="tga_rle"), RED),
    "ppm.ppm": (lambda path: Image.new("RGB", (16, 16), RED).save(path), RED),
    "jpeg named.png": (lambda path: Image.new("RGB", (16, 16), RED).save(path, "JPEG", quality=95), RED),
    "png named.jpg": (lambda path: Image.new("RGB", (16, 16), RED).save(path, "PNG"), RED),
    "gif named.bmp": (lambda path: Image.new("RGB", (16, 16), RED).save(path, "GIF"), RED),
    "webp named jpg": (lambda path: Image.new("RGB", (16, 16), RED).save(path, "WEBP", lossless=True), RED),
}


@pytest.mark.parametrize("name", SEEN)
def test_what_is_seen_of_a_file(name: str, tmp_path: Path) -> None:
    write, colour = SEEN[name]
    write(tmp_path / name)
    assert np.abs(read_image(tmp_path / name, 8).astype(int) - colour).max() <= 3


@pytest.mark.parametrize(
    ("name", "write", "told"),
    [
        ("float.tif", lambda path: Image.new("F", (8, 8)).save(path), "pixels are floats"),
        ("text.jpg", lambda path: path.write_text("no image"), "identify|not a JPEG"),
        ("icon.png", lambda path: Image.new("RGB", (16, 16)).save(path, "ICO"), "identify"),
    ],
)  # fmt: skip
def test_what_is_not_read_is_named(name: str, write: Callable[[Path], object], told: str, tmp_path: Path) -> None:
    for folder in ("cat", "dog"):
        (tmp_path / "set" / folder).mkdir(parents=True)
        for number in range(4):
            Image.new("L", (8, 8), number).save(tmp_path / "set" / folder / f"{number}.png")
    write(tmp_path / "set" / "cat" / name)
    with pytest.raises(CnnexpError, match=f"(?s){name}.*({told})"):
        ImageDataModule("image_folder", str(tmp_path / "set"), image_size=8).setup()
    with pytest.raises(CnnexpError, match=f"(?s){name}.*({told})"):
        load_photo(tmp_path / "set" / "cat" / name, (3, 8, 8))


def test_an_icon_is_left_out_and_counted(tmp_path: Path, caplog) -> None:
    for folder in ("cat", "dog"):
        (tmp_path / folder).mkdir()
        for number in range(4):
            Image.new("L", (8, 8), number).save(tmp_path / folder / f"{number}.png")
    Image.new("RGB", (16, 16)).save(tmp_path / "cat" / "a.ico")
    assert ImageDataModule("image_folder", str(tmp_path), image_size=8, val_size=2).sizes["test"] == 2
    assert "1 files (1 .ico), such as cat/a.ico" in caplog.text
