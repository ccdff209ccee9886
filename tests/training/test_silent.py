"""Offline unless told otherwise: what the trackers' packages send, as the system's calls tell it."""

import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

LOGGERS = sorted(path.stem for path in (Path(__file__).parents[2] / "conf" / "logger").glob("*.yaml"))
PACKAGES = {"comet": "comet_ml", "none": "cnnexp"}
"""Of the loggers that aren't called by their packages."""
CALLS = "connect,sendto,sendmsg,sendmmsg,bind"
ADDRESS = re.compile(r"sin6?_port=htons\((\d+)\).*?(?:inet_addr\(|inet_pton\(AF_INET6, )\"([^\"]+)\"")


def traced(command: list[str], trace: Path) -> subprocess.CompletedProcess[str]:
    strace = ["strace", "-f", "-qq", "-e", f"trace={CALLS}", "-o", str(trace)]
    return subprocess.run([*strace, *command], capture_output=True, text=True, timeout=300, check=False)


def beyond(trace: Path) -> list[str]:
    """The lines of a trace that name an address other than this machine's own, or ask for one by a name."""
    found = []
    for line in trace.read_text().splitlines():
        for port, address in ADDRESS.findall(line):
            if port == "53" or not (address.startswith("127.") or address == "::1"):
                found.append(line)
    return found


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    if shutil.which("strace") is None:
        pytest.skip("strace isn't installed")
    file = tmp_path / "trace"
    if traced(["true"], file).returncode:
        pytest.skip("strace may not trace here")
    return file


def test_a_look_up_and_a_connection_are_seen(trace):
    typed = (
        "import socket\n"
        "with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp: udp.connect(('127.0.0.53', 53))\n"
        "with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp: udp.sendto(b'', ('192.0.2.1', 9))\n"
        "with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp: udp.connect(('127.0.0.1', 9))\n"
    )
    traced([sys.executable, "-c", typed], trace)
    assert [ADDRESS.findall(line) for line in beyond(trace)] == [[("53", "127.0.0.53")], [("9", "192.0.2.1")]]


@pytest.mark.slow
def test_no_tracker_asks_anything_of_the_network(trace, folder):
    there = [name for name in LOGGERS if find_spec(PACKAGES.get(name, name)) is not None]
    if not {"comet", "mlflow", "wandb"} & {*there}:
        pytest.skip('no tracker is installed: pip install "cnnexp[test-trackers]"')
    several = ",".join(name for name in there if name != "none")  # of one process, which takes seconds to start
    short = ["model=ffnn", "model.hidden=[8]", "trainer.limit_train_batches=3", "trainer.max_epochs=1"]
    done = traced([sys.executable, "-m", "cnnexp", *short, f"logger=[{several}]"], trace)
    assert done.returncode == 0, done.stderr
    [run] = folder.glob("outputs/ffnn-digits/*")
    assert {"tensorboard", "wandb", "comet"} & {*there} <= {path.name for path in run.iterdir()}
    assert not beyond(trace)
