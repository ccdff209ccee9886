"""What several test files need: an empty folder to work in, and the command as a function and as a process."""

import os
import shutil
import signal
import subprocess
import sys
import tarfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

# before torch is imported, here and in the processes that tests start: networks this small gain nothing from
# threads, and on a busy machine threads that wait for each other make a step a hundred times as slow
os.environ.setdefault("OMP_NUM_THREADS", "1")
# a shell starts what it runs in the background with Ctrl-C ignored, and nohup with SIGHUP; what tests start would
# inherit it
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) == signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)

import numpy as np
import pytest
from hypothesis import settings
from PIL import Image
from serving import IDX, PICKLED, FileServer, serve_idx, serve_pickled

REPOSITORY = Path(__file__).parents[1]

# how long an example takes says something about the machine, not about the code
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")


def pytest_configure(config: pytest.Config) -> None:
    """Have xdist take the files in the order below, not by how many tests they have."""
    if hasattr(config.option, "loadscopereorder"):
        config.option.loadscopereorder = False


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with the most slow tests come first: one that came last would keep one worker, the others idle."""
    slow = Counter(item.path for item in items if item.get_closest_marker("slow"))
    tests = Counter(item.path for item in items)
    items.sort(key=lambda item: (-slow[item.path], -tests[item.path]))


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep what tests leave behind, such as their looks at test sets, out of the user's cache folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CNNEXP_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder, with no data set lying anywhere."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CNNEXP_DATA", raising=False)
    monkeypatch.setenv("CNNEXP_CACHE", str(tmp_path / "cache"))
    return tmp_path


@pytest.fixture
def cnnexp(folder: Path) -> Callable[..., int]:
    """Run a command in this process and return its exit status."""
    from cnnexp.app import run

    return lambda *arguments: run(list(arguments))


@pytest.fixture(scope="session")
def two_runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two runs of a tiny CNN on digits, to be copied by whoever lets tasks write into them."""
    from cnnexp.app import run

    tiny = ["model.channels=[4]", "model.hidden=[]", "trainer.limit_train_batches=2", "trainer.max_epochs=1"]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("two"))
        for seed in range(2):
            assert run([*tiny, "data.eval_batch_size=2000", f"seed={seed}"]) == 0
        return (Path("outputs") / "cnn-digits").absolute()


@pytest.fixture
def process(folder: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run a command in a process of its own, as a user does."""

    def start(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "cnnexp", *arguments],
            cwd=folder, env={**os.environ, **environment}, capture_output=True, text=True, timeout=300,
        )  # fmt: skip

    return start


@pytest.fixture(scope="module")
def browser() -> Iterator:
    """A real browser that shows nothing on a screen, as Selenium's driver of it."""
    webdriver = pytest.importorskip("selenium.webdriver", reason="needs selenium: pip install selenium")
    program, driver = shutil.which("chromium") or shutil.which("google-chrome"), shutil.which("chromedriver")
    if not program or not driver:
        pytest.skip("needs Chromium and its chromedriver")
    options = webdriver.ChromeOptions()
    options.binary_location = program
    for flag in ("--headless=new", "--no-sandbox", "--window-size=1600,1400", "--disable-gpu"):
        options.add_argument(flag)
    opened = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    yield opened
    opened.quit()


@pytest.fixture
def interrupt_when(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Send this process a real signal, once, as a training batch begins for which a condition holds."""
    from cnnexp.training.callbacks import SeedSteps

    begin = SeedSteps.on_train_batch_start

    def arrange(due: Callable[..., bool], number: int = signal.SIGINT) -> None:
        sent = False

        def watched(self, trainer, module, batch, batch_idx):
            nonlocal sent
            if not sent and due(self, trainer, batch_idx):
                sent = True
                os.kill(os.getpid(), number)
            begin(self, trainer, module, batch, batch_idx)

        monkeypatch.setattr(SeedSteps, "on_train_batch_start", watched)

    return arrange


@pytest.fixture(scope="module")
def _served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    served, root = tmp_path_factory.mktemp("served"), tmp_path_factory.mktemp("data")
    server = FileServer(served)
    with pytest.MonkeyPatch.context() as patch:
        for kind, cls in (*IDX.items(), *PICKLED.items()):
            server.folder = served / kind
            server.folder.mkdir()
            (serve_idx if kind in IDX else serve_pickled)(cls, server, patch, 2000 if kind == "cifar100" else 400)
            patch.setattr(
                cls,
                *(
                    ("mirrors", [f"{server.url}{kind}/"])
                    if kind in IDX
                    else ("url", f"{server.url}{kind}/{cls.filename}")
                ),
            )
        rng = np.random.default_rng(0)
        for part, count in (("train", 20), ("test", 4)):
            for kind in ("cat", "dog", "frog"):
                folder = root / "images" / part / kind
                folder.mkdir(parents=True)
                for number in range(count):
                    image = rng.integers(0, 256, (40 + number, 36, 3), np.uint8)
                    Image.fromarray(image).save(folder / f"{number}.png")
        yield root
    server.stop()


@pytest.fixture
def every_data_set(_served: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder where every data set is found, small ones in their real formats; the first use downloads them.

    An image folder of three classes is in ``images``.
    """
    from cnnexp.data import torchvision_sets

    monkeypatch.setenv("CNNEXP_DATA", str(_served))
    torchvision_sets._verified.cache_clear()
    return _served


REAL = Path(os.environ.get("CNNEXP_TEST_DATA") or REPOSITORY.parent / "shared" / "data")


@pytest.fixture(scope="session")
def mnist_root() -> Path:
    """The folder of the whole of MNIST."""
    if not (REAL / "MNIST" / "raw" / "train-images-idx3-ubyte").exists():
        pytest.skip("MNIST is not here: set CNNEXP_TEST_DATA to a folder that holds torchvision's MNIST/")
    return REAL


@pytest.fixture(scope="session")
def cifar_images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An image folder with a few of CIFAR-10's images of each class, as JPEGs."""
    archive = REAL / "cifar10-jpeg.tar.xz"
    if not archive.exists():
        pytest.skip("CIFAR-10 as JPEGs is not here: CNNEXP_TEST_DATA has no cifar10-jpeg.tar.xz")
    root = tmp_path_factory.mktemp("cifar10-jpeg")
    with tarfile.open(archive) as images:
        for member in images:
            if member.isfile() and int(Path(member.name).stem) % 100 == 1:
                images.extract(member, root, filter="data")
    return root
