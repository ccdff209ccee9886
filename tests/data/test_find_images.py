import pytest
from PIL import Image

from cnnexp.data.find_images import find_images
from cnnexp.errors import CnnexpError


@pytest.fixture
def photos(folder):
    (folder / "photos" / "more").mkdir(parents=True)
    for name in ("b.png", "a.JPG", "more/c.webp", ".hidden.png"):
        Image.new("L", (4, 4)).save(folder / "photos" / name)
    (folder / "photos" / "notes.txt").write_text("no image")
    return folder / "photos"


@pytest.mark.parametrize(
    ("images", "names"),
    [
        ("photos", ["a.JPG", "b.png", "c.webp"]),
        ("photos/*.png", ["b.png"]),
        ("photos/**/*", ["a.JPG", "b.png", "c.webp"]),
        ("photos/notes.txt", ["notes.txt"]),
        (["photos/more", "photos/b.png", "photos/*"], ["c.webp", "b.png", "a.JPG"]),
    ],
)
def test_a_file_a_folder_a_pattern_or_several(images, names, photos):
    assert [path.name for path in find_images(images)] == names


@pytest.mark.parametrize(
    ("images", "said"),
    [
        ("photo", "photo is not there"),
        ("photos/*.gif", "is not there"),
        ("photos/*.txt", "matches no images"),
        ("empty", "empty has no images"),
        ([], "no images were named"),
    ],
)
def test_what_names_no_image_is_refused(images, said, photos, folder):
    (folder / "empty").mkdir()
    with pytest.raises(CnnexpError, match=said.replace("*", r"\*")):
        find_images(images)
