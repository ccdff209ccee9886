"""Whether the machine had nothing else to do while it was measured."""

import os
import platform
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import torch

LOAD, DRIFT = 0.2, 1.15
"""Processes that wait for a core as the benchmark begins, and how far the calibration's times may lie apart."""


class Machine:
    """The machine, asked at the beginning what it has to do, and between readings how fast it is."""

    def __init__(self) -> None:
        self._load = os.getloadavg()[0]
        self._matrix = torch.rand(512, 512, generator=torch.Generator().manual_seed(0))
        self._seconds: list[float] = []
        self.calibrate(3)  # warms up
        self._seconds.clear()

    def calibrate(self, repeats: int = 1) -> None:
        """Time the same few products of matrices again, on one thread and in this process."""
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        for _ in range(repeats):
            begin = time.perf_counter()
            for _ in range(20):
                self._matrix @ self._matrix
            self._seconds.append(time.perf_counter() - begin)
        torch.set_num_threads(threads)

    def facts(self) -> dict[str, Any]:
        """Return what the readings were taken on, and how busy it was."""
        import lightning

        return {
            "processor": _processor(),
            "cores": os.cpu_count(),
            "amx": "amx_tile" in _cpu_flags(),
            "python": platform.python_version(),
            "torch": torch.__version__,
            "lightning": lightning.__version__,
            "load_at_start": self._load,
            "calibration_seconds": self._seconds,
        }

    @staticmethod
    def told(facts: dict[str, Any]) -> str:
        """Return the same in sentences, with a warning where the machine wasn't idle."""
        times = facts["calibration_seconds"]
        drift = max(times) / min(times) if times else 1.0
        typical = statistics.median(times) / min(times) if times else 1.0
        amx = "with" if facts["amx"] else "without"
        told = (
            f"{facts['date']}: {facts['processor']}, {facts['cores']} cores {amx} AMX, {facts['threads']} threads,"
            f" Python {facts['python']}, torch {facts['torch']}, Lightning {facts['lightning']}. Medians of "
            f"{facts['rounds']} rounds, in brackets the lowest and the highest; ratios are taken round by round. "
        )
        load = f"load {facts['load_at_start']:.2f} at the start"
        if facts["load_at_start"] <= LOAD and drift <= DRIFT:
            return f"{told}The machine was idle: {load}, the same calibration within {drift:.2f}×."
        return (
            f"{told}The machine was not idle: {load}; a calibration took up to {drift:.2f}× its shortest time, "
            f"{typical:.2f}× in the median."
        )


def _cpu_flags() -> str:
    return _cpuinfo("flags")


def _processor() -> str:
    return _cpuinfo("model name") or platform.processor() or platform.machine()


def _cpuinfo(key: str) -> str:
    if sys.platform != "linux":
        return ""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(key)), "")
