"""The wheel works from any folder: conf/ is inside, and nothing of the checkout is needed."""

import json
import site
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]


@pytest.mark.slow
def test_the_installed_wheel_trains_in_an_empty_folder(tmp_path):
    subprocess.run(
        [sys.executable, "-c", "import hatchling.build, sys; hatchling.build.build_wheel(sys.argv[1])", tmp_path],
        cwd=REPOSITORY, check=True, capture_output=True,
    )  # fmt: skip
    [wheel] = tmp_path.glob("*.whl")
    files = zipfile.ZipFile(wheel).namelist()
    assert {"cnnexp/conf/config.yaml", "cnnexp/reports/templates/report.html.j2"} <= set(files)

    environment = tmp_path / "venv"
    venv.create(environment, with_pip=True)
    python = environment / "bin" / "python"
    pip = [
        python,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--no-index",
        "--no-deps",
    ]
    subprocess.run([*pip, wheel], check=True)
    # the packages it depends on are this environment's, found through a path: they are gigabytes. An editable
    # install isn't found that way, so that what runs is the wheel.
    inside = subprocess.run(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        check=True, capture_output=True, text=True,
    ).stdout.strip()  # fmt: skip
    others = dict.fromkeys([sysconfig.get_path("purelib"), sysconfig.get_path("platlib"), *site.getsitepackages()])
    (Path(inside) / "others.pth").write_text("\n".join(others) + "\n")

    empty = tmp_path / "empty"
    empty.mkdir()
    command = environment / "bin" / "cnnexp"
    done = subprocess.run(
        [command, "trainer=debug"], cwd=empty, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    [run] = (empty / "outputs" / "cnn-digits").iterdir()
    assert json.loads((run / "result.json").read_text())["status"] == "completed"
    where = subprocess.run(
        [python, "-c", "import cnnexp; print(cnnexp.__file__)"], cwd=empty, capture_output=True, text=True
    ).stdout
    assert str(environment) in where
