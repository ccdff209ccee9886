import contextlib
import io
import logging
import os
import pickle
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import EpsImagePlugin, Image
from serving import Trap

from cnnexp import CnnexpError, ImageDataModule
from cnnexp.data import image_cache, image_files
from cnnexp.data.image_file import read_image
from cnnexp.data.sets import Images
from cnnexp.data.sets import load as load_images_of

RED, WHITE = (255, 0, 0), (255, 255, 255)


def save(image: Image.Image, path: Path, **kwargs: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, **kwargs)
    return path


def make_folder(root: Path, mode: str = "RGB", parts: tuple[str, ...] = ("train", "test"), each: int = 3) -> Path:
    """Cats are dark and dogs are light; every image has a shade of its own."""
    for part in parts:
        for start, name in ((0, "cat"), (128, "dog")):
            for number in range(each):
                shade = start + 10 * number + (5 if part == "test" else 0)
                colour = shade if mode == "L" else (shade, 0, 0)
                save(Image.new(mode, (12, 10), colour), root / part / name / f"{number}.png")
    return root


def load(root: Path, **kwargs: object) -> Images:
    return load_images_of("image_folder", root, image_size=8, **kwargs)  # type: ignore[arg-type]


def reload(root: Path, **kwargs: object) -> Images:
    """As another process would."""
    image_files.of_listing.cache_clear()
    return load(root, **kwargs)


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files that were decoded, noted as the real decoder is called."""
    names: list[str] = []

    def noted(path: Path, size: int, levels: tuple[int, int] | None) -> np.ndarray:
        names.append(path.name)
        return read_image(path, size, levels)

    monkeypatch.setattr(image_cache, "read_image", noted)
    return names


def test_train_and_test_folders(tmp_path: Path) -> None:
    source = load(make_folder(tmp_path))
    assert source.class_names == ("cat", "dog")
    assert source.train_images.shape == source.test_images.shape == (6, 3, 8, 8)
    assert source.train_labels.tolist() == source.test_labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert source.train_images[:, 0, 0, 0].tolist() == [0, 10, 20, 128, 138, 148]
    assert source.test_images[:, 0, 0, 0].tolist() == [5, 15, 25, 133, 143, 153]
    assert source.train_images.dtype == torch.uint8


def test_one_level_of_class_folders_is_split_the_same_way_each_time(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "set", parts=("",), each=10)
    data = ImageDataModule("image_folder", str(folder), image_size=8)
    assert torch.bincount(data.labels("test")).tolist() == [2, 2]
    assert data.sizes["train"] + data.sizes["val"] == 16
    record = data.split_record()
    assert len({digest for part in record.values() for _, digest in part}) == 20
    image_files.of_listing.cache_clear()
    assert (
        ImageDataModule("image_folder", str(folder), image_size=8, seed=3).split_record()["test"] == record["test"]
    )


def test_grey_images_have_one_channel_and_a_single_colour_one_makes_it_three(tmp_path: Path) -> None:
    grey = load(make_folder(tmp_path, "L"))
    assert grey.train_images.shape == (6, 1, 8, 8)
    assert grey.train_images[:, 0, 0, 0].tolist() == [0, 10, 20, 128, 138, 148]
    save(Image.new("RGB", (9, 9), RED), tmp_path / "train" / "cat" / "0.png")
    colour = load(tmp_path)
    assert colour.train_images.shape == (6, 3, 8, 8)
    assert colour.train_images[:2, :, 0, 0].tolist() == [[255, 0, 0], [10, 10, 10]]


def _sixteen_bit() -> Image.Image:
    return Image.fromarray(np.full((8, 8), 200 * 257, np.uint16))


def _half_transparent() -> Image.Image:
    image = Image.new("RGBA", (8, 8), (255, 0, 0, 255))
    image.paste((0, 255, 0, 0), (0, 0, 4, 8))
    return image


def _two_colours(mode: str = "RGB") -> Image.Image:
    """White, with a red left half."""
    image = Image.new("RGB", (8, 8), WHITE)
    image.paste(RED, (0, 0, 4, 8))
    return image.convert(mode)


@pytest.mark.parametrize(
    ("name", "make", "options", "left", "right"),
    [
        ("grey.png", lambda: Image.new("L", (8, 8), 77), {}, (77,) * 3, (77,) * 3),
        ("bits.png", lambda: Image.new("1", (8, 8), 1), {}, WHITE, WHITE),
        ("sixteen.png", _sixteen_bit, {}, (200,) * 3, (200,) * 3),
        ("sixteen.tif", _sixteen_bit, {}, (200,) * 3, (200,) * 3),
        ("sixteen.pgm", _sixteen_bit, {}, (200,) * 3, (200,) * 3),
        ("colour.jpg", lambda: Image.new("RGB", (64, 64), RED), {"quality": 95}, RED, RED),
        ("cmyk.jpg", lambda: Image.new("RGB", (64, 64), RED).convert("CMYK"), {"quality": 95}, RED, RED),
        ("palette.gif", lambda: _two_colours("P"), {}, RED, WHITE),
        ("lossless.webp", _two_colours, {"lossless": True}, RED, WHITE),
        ("plain.bmp", _two_colours, {}, RED, WHITE),
        ("UPPER.PNG", _two_colours, {}, RED, WHITE),
        ("alpha.png", _half_transparent, {}, WHITE, RED),
        ("alpha.webp", _half_transparent, {"lossless": True}, WHITE, RED),
        ("palette_alpha.png", lambda: _half_transparent().quantize(), {}, WHITE, RED),
        ("grey_alpha.png", lambda: Image.new("LA", (8, 8), (0, 0)), {}, WHITE, WHITE),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_formats_and_modes(
    name: str, make: Callable[[], Image.Image], options: dict, left: tuple, right: tuple, tmp_path: Path
) -> None:
    pixels = read_image(save(make(), tmp_path / name, **options), 8).astype(int)
    assert pixels.shape == (8, 8, 3)
    assert np.abs(pixels[4, 1] - left).max() <= 3
    assert np.abs(pixels[4, 6] - right).max() <= 3


def test_a_camera_on_its_side_is_put_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned 90 degrees clockwise: the left half comes to the top
    file = save(
        _two_colours().resize((64, 64), Image.Resampling.NEAREST), tmp_path / "a.jpg", exif=exif, quality=95
    )
    pixels = read_image(file, 8).astype(int)
    assert np.abs(pixels[1] - RED).max() <= 8
    assert np.abs(pixels[6] - WHITE).max() <= 8


def test_the_middle_square_is_kept_and_a_image_of_the_right_size_left_as_it_is(tmp_path: Path) -> None:
    wide = Image.new("RGB", (300, 100), RED)
    wide.paste(WHITE, (100, 0, 200, 100))
    assert (read_image(save(wide, tmp_path / "wide.png"), 8)[:, 1:-1] == 255).all()
    exact = np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)
    assert np.array_equal(read_image(save(Image.fromarray(exact), tmp_path / "exact.png"), 8), exact)


def test_a_folder_is_decoded_once_and_a_changed_file_noticed(
    tmp_path: Path, decoded: list[str], cache: Path
) -> None:
    make_folder(tmp_path / "set")
    first = load(tmp_path / "set")
    assert len(decoded) == 12
    assert load(tmp_path / "set") is first
    again = reload(tmp_path / "set", num_workers=1)
    assert torch.equal(again.train_images, first.train_images)
    assert len(decoded) == 12
    moved = (tmp_path / "set").rename(tmp_path / "moved")
    assert len(reload(moved).train_labels) == 6
    assert len(decoded) == 12
    save(Image.new("RGB", (5, 5), RED), moved / "train" / "cat" / "1.png")
    assert load(moved).train_images[1, 0].eq(255).all()
    (moved / "test" / "dog" / "2.png").unlink()
    assert len(load(moved).test_labels) == 5
    assert not list(cache.glob("*.tmp"))


@pytest.mark.parametrize("suffix", [".npy", ".json"])
@pytest.mark.parametrize("damage", ["removed", "empty", "cut off", "changed", "pickled"])
def test_a_damaged_cache_is_made_anew(suffix: str, damage: str, tmp_path: Path, cache: Path) -> None:
    folder = make_folder(tmp_path / "set")
    expected = load(folder).train_images.clone()
    (file,) = cache.glob(f"*{suffix}")
    whole = file.read_bytes()
    if damage == "removed":
        file.unlink()
    elif damage == "pickled":
        with file.open("wb") as stream:
            np.save(stream, np.array([{}], dtype=object), allow_pickle=True)
    else:
        file.write_bytes({"empty": b"", "cut off": whole[:-9], "changed": whole[:-1] + b"\x01"}[damage])
    assert torch.equal(reload(folder).train_images, expected)
    assert file.read_bytes() == whole


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="asks the system what is mapped")
def test_a_set_too_large_for_memory_is_mapped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = make_folder(tmp_path)
    in_memory = load(folder)
    monkeypatch.setattr(image_cache, "_memory", lambda: 1000.0)
    mapped = reload(folder)
    assert torch.equal(mapped.train_images, in_memory.train_images)
    assert any(".npy" in line for line in Path("/proc/self/maps").read_text().splitlines())


@pytest.mark.parametrize("content", [b"", b"not an image", None], ids=["empty", "text", "cut off"])
def test_a_corrupt_image_is_named_or_left_out(
    content: bytes | None, tmp_path: Path, caplog: pytest.LogCaptureFixture, cache: Path
) -> None:
    folder = make_folder(tmp_path / "set")
    broken = folder / "train" / "cat" / "1.png"
    noise = np.random.default_rng(0).integers(0, 256, (20, 20, 3), np.uint8)
    save(Image.fromarray(noise), broken)
    broken.write_bytes(broken.read_bytes()[:700] if content is None else content)
    with pytest.raises(CnnexpError, match="can't read the image .*1.png(.|\n)*data.on_corrupt=skip"):
        load(folder)
    assert not list(cache.glob("*.npy"))
    with caplog.at_level(logging.WARNING):
        source = load(folder, on_corrupt="skip")
    assert "1 of 12 image files can't be read and are left out: train/cat/1.png" in caplog.text
    assert source.train_images[:, 0, 0, 0].tolist() == [0, 20, 128, 138, 148]
    assert source.train_labels.tolist() == [0, 0, 1, 1, 1]
    assert torch.equal(reload(folder, on_corrupt="skip").train_images, source.train_images)


def test_a_class_of_which_nothing_can_be_read_is_named(tmp_path: Path) -> None:
    folder = make_folder(tmp_path)
    for file in (folder / "test" / "dog").iterdir():
        file.write_bytes(b"x")
    with pytest.raises(CnnexpError, match="class dog"):
        load(folder, on_corrupt="skip")


def test_a_image_beyond_pillows_limit_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = make_folder(tmp_path)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)  # of 120: Pillow alone would warn and read it
    with pytest.raises(CnnexpError, match="decompression bomb"):
        load(folder)


def test_a_bomb_of_a_image_is_refused_or_left_out(tmp_path: Path) -> None:
    folder = make_folder(tmp_path)
    bomb = folder / "train" / "cat" / "1.png"
    content = bytearray(bomb.read_bytes())
    content[16:24] = (50_000).to_bytes(4, "big") * 2  # width and height: 2.5 thousand million pixels
    content[29:33] = zlib.crc32(content[12:29]).to_bytes(4, "big")
    bomb.write_bytes(content)
    with pytest.raises(CnnexpError, match=r"1\.png: Image size .* decompression bomb"):
        load(folder)
    assert len(load(folder, on_corrupt="skip").train_labels) == 5


def test_a_image_that_is_a_program_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, sprung = make_folder(tmp_path / "set"), tmp_path / "sprung"
    ghostscript = tmp_path / "bin" / "gs"
    ghostscript.parent.mkdir()
    ghostscript.write_text(f"#!/bin/sh\ntouch {sprung}\n")
    ghostscript.chmod(0o755)
    monkeypatch.setenv("PATH", f"{ghostscript.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(EpsImagePlugin, "gs_binary", None)
    evil = folder / "train" / "cat" / "1.png"
    Image.new("RGB", (8, 8)).save(evil, format="EPS")
    with pytest.raises(CnnexpError, match=r"can't read the image .*1\.png"):
        load(folder)
    evil.with_suffix(".eps").write_bytes(evil.read_bytes())
    assert len(load(folder, on_corrupt="skip").train_labels) == 5
    assert not sprung.exists()
    with contextlib.suppress(Exception), Image.open(evil) as image:
        image.load()
    assert sprung.exists()  # so Pillow, asked without a list of formats, would have run it


def test_a_pickle_in_the_cache_is_not_opened(tmp_path: Path, cache: Path) -> None:
    folder, sprung = make_folder(tmp_path / "set"), tmp_path / "sprung"
    expected = load(folder).train_images.clone()
    [array] = cache.glob("*.npy")
    [record] = cache.glob("*.json")
    evil = pickle.dumps(Trap(str(sprung)))
    with io.BytesIO() as stream:
        np.save(stream, np.array([Trap(str(sprung))], dtype=object), allow_pickle=True)
        in_array = stream.getvalue()
    for content in (in_array, evil):
        array.write_bytes(content)
        assert torch.equal(reload(folder).train_images, expected)
    record.write_bytes(evil)
    assert torch.equal(reload(folder).train_images, expected)
    assert not sprung.exists()
    np.load(io.BytesIO(in_array), allow_pickle=True)
    assert sprung.exists()


@pytest.mark.parametrize("skipped", ["[99]", "[-1]", "[0, 0]", "{}", '"0"', "[[0]]", "null", "[0]"])
def test_a_cache_record_that_does_not_fit_is_not_believed(skipped: str, tmp_path: Path, cache: Path) -> None:
    folder = make_folder(tmp_path / "set")
    expected = load(folder).train_images.clone()
    [record] = cache.glob("*.json")
    whole = record.read_text()
    record.write_text(whole.replace("[]", skipped))
    assert torch.equal(reload(folder).train_images, expected)


def test_links_are_followed_but_no_folder_is_read_twice(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "set")
    elsewhere = make_folder(tmp_path / "elsewhere", parts=("",)) / "cat"
    (folder / "train" / "cat" / "more").symlink_to(elsewhere)
    (folder / "train" / "cat" / "circle").symlink_to(folder / "train" / "cat")
    assert len(load(folder).train_labels) == 9


def test_other_files_and_hidden_folders_are_left_out(tmp_path: Path) -> None:
    folder = make_folder(tmp_path)
    (folder / "train" / "cat" / "notes.txt").write_text("x")
    (folder / "train" / "cat" / "._0.png").write_text("x")
    (folder / "train" / ".thumbnails").mkdir()
    assert len(load(folder).train_labels) == 6


def _no_folder(root: Path) -> None:
    root.rmdir()


def _no_classes(root: Path) -> None:
    (root / "a.png").touch()


def _one_class(root: Path) -> None:
    save(Image.new("L", (4, 4)), root / "cat" / "a.png")


def _empty_class(root: Path) -> None:
    (make_folder(root) / "train" / "emu").mkdir()
    (root / "test" / "emu").mkdir()


def _other_test_classes(root: Path) -> None:
    (make_folder(root) / "test" / "dog").rename(root / "test" / "wolf")


def _no_test(root: Path) -> None:
    make_folder(root, parts=("train", "val"))


def _pipe(root: Path) -> None:
    os.mkfifo(make_folder(root) / "train" / "cat" / "pipe.png")


def _dangling_link(root: Path) -> None:
    (make_folder(root) / "train" / "cat" / "link.png").symlink_to(root / "gone.png")


def _unreadable_class(root: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may read everything")
    (make_folder(root) / "train" / "cat").chmod(0)


def _unreadable(root: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may read everything")
    make_folder(root).chmod(0)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_no_folder, "there is no folder .*data.root=DIR"),
        (_no_classes, "at least 2 classes, and has none"),
        (_one_class, "at least 2 classes, and has one, cat"),
        (_empty_class, "class folder .*emu has no images"),
        (_other_test_classes, "differ: dog, wolf are in only one"),
        (_no_test, r"train/ but no test/ \(there is val/\).*data.root=.*train"),
        (_pipe, "pipe.png: it is no regular file"),
        (_dangling_link, r"can't read .*link\.png: it is a link to .*gone\.png, which is not there"),
        (_unreadable_class, "can't read the folder .*Permission denied"),
        (_unreadable, "can't read the folder .*Permission denied"),
    ],
)
def test_a_folder_laid_out_otherwise_is_explained(
    spoil: Callable[[Path], None], message: str, tmp_path: Path
) -> None:
    root = tmp_path / "set"
    root.mkdir()
    spoil(root)
    with pytest.raises(CnnexpError, match=message):
        load(root)


def test_a_cache_that_cannot_be_written_is_a_users_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("CNNEXP_CACHE", os.fspath(tmp_path / "file"))
    with pytest.raises(CnnexpError, match="CNNEXP_CACHE"):
        load(make_folder(tmp_path / "set"))
