"""``task=export``: a trained network in one file that takes images as bytes, for use without cnnexp."""

import logging
from collections.abc import Callable, Sequence
from copy import deepcopy
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, TypeAlias

import torch
from torch import Tensor, nn
from torch.export import Dim

from cnnexp.data.preprocessing import Preprocessing
from cnnexp.errors import CnnexpError
from cnnexp.job.job import Job
from cnnexp.job.subject import load_trained
from cnnexp.models.classifier import Classifier
from cnnexp.reports.tables import shown

log = logging.getLogger(__name__)

Format: TypeAlias = Literal["onnx", "torch_export"]
Output: TypeAlias = Literal["probabilities", "logits"]

ONNX_PACKAGES = ("onnx", "onnxscript", "onnxruntime")
BATCHES = (1, 3, 64)
"""Images in the batches that an exported file is tried with."""
TOLERANCE = 1e-4
"""Largest difference between the file's outputs and the network's, relative to the largest output or 1."""


class BytesToScores(nn.Module):
    """A network with the preparation of its images, as its checkpoint records it, before it."""

    def __init__(self, model: Classifier, preprocessing: Preprocessing, output: Output = "probabilities") -> None:
        super().__init__()
        self.model = model
        self.preprocessing = preprocessing
        self.output = output

    def forward(self, images: Tensor) -> Tensor:
        """Return the scores, shape (batch, classes), of uint8 images, shape (batch, channels, height, width)."""
        logits = self.model(self.preprocessing(images))
        return logits.softmax(1) if self.output == "probabilities" else logits


def export(job: Job, format: Format = "onnx", output: Output = "probabilities") -> None:
    """Write a run's network and the preparation of its images to ``model.onnx`` or ``model.pt2``, and try it."""
    if format == "onnx":
        require_onnx()
    loaded, preprocessing = load_trained(job)
    path = job.folder / {"onnx": "model.onnx", "torch_export": "model.pt2"}[format]
    difference = export_network(loaded.model, preprocessing, path, format, output)
    job.record(
        format=format, output=output, file=path.name, largest_difference=difference,
        parameters=loaded.model.parameter_count, checkpoint=str(loaded.checkpoint),
    )  # fmt: skip
    log.info(
        "%s (%.1f MB)\ntakes    images: uint8, (batch, %d, %d, %d), any batch; 0 to 255 as in the files\n"
        "returns  %s: float32, (batch, %d), in the order of %s",
        shown(path), path.stat().st_size / 1e6, *preprocessing.image_shape, output,
        len(preprocessing.class_names), _listed(preprocessing.class_names),
    )  # fmt: skip
    log.info(
        "run with %s on batches of %s: at most %.1g from the network's own %s",
        "ONNX Runtime" if format == "onnx" else "torch.export.load",
        ", ".join(map(str, BATCHES)), difference, output,
    )  # fmt: skip


def export_network(
    model: Classifier,
    preprocessing: Preprocessing,
    path: Path,
    format: Format = "onnx",
    output: Output = "probabilities",
) -> float:
    """Write a network to a file, run the file, and return how far its outputs are from the network's at most.

    The class names are in the file: in ONNX's metadata as ``class_names``, one a line; in torch's as the extra
    file ``class_names``. The file appears under its name once it has proved right. The network is left in eval
    mode on the CPU.

    Raises:
        CnnexpError: when the packages for ONNX are missing, or the format isn't known.
        RuntimeError: when the file gives other outputs than the network.
    """
    if format not in _FORMATS:
        raise CnnexpError(f"format={format}: there is no such format; allowed: {', '.join(_FORMATS)}")
    network = BytesToScores(model.cpu(), preprocessing, output).eval()
    # kernels stored channels last would be exported as tensors that are a part of something
    plain = deepcopy(network).to(memory_format=torch.contiguous_format)
    temporary = path.with_name(f".{path.stem}.tmp{path.suffix}")
    try:
        difference = _largest_difference(network, _FORMATS[format](plain, temporary))
        if not difference <= TOLERANCE:
            raise RuntimeError(f"the exported file's outputs differ from the network's by {difference:.2g}")
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return difference


def require_onnx() -> None:
    """Raise CnnexpError unless the packages for ONNX are there."""
    missing = [package for package in ONNX_PACKAGES if find_spec(package) is None]
    if missing:
        raise CnnexpError(
            f"format=onnx needs {', '.join(missing)}: python -m pip install 'cnnexp[onnx]' (or take "
            "format=torch_export, which needs nothing more)"
        )


def _onnx(network: BytesToScores, path: Path) -> Callable[[Tensor], Tensor]:
    """Write the file, and return what it does to images."""
    require_onnx()
    import onnx
    import onnxruntime

    for chatty in ("onnx_ir", "onnxscript"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    program = torch.onnx.export(
        network, (_noise(network, 2),), dynamo=True, dynamic_shapes=({0: Dim("batch")},), verbose=False,
        input_names=["images"], output_names=[network.output],
    )  # fmt: skip
    assert program is not None
    proto = program.model_proto
    onnx.helper.set_model_props(proto, {"class_names": "\n".join(network.preprocessing.class_names)})
    onnx.save(proto, path)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    [argument] = session.get_inputs()
    return lambda images: torch.from_numpy(session.run(None, {argument.name: images.numpy()})[0])


def _torch_export(network: BytesToScores, path: Path) -> Callable[[Tensor], Tensor]:
    """Write the file, and return what it does to images."""
    program = torch.export.export(network, (_noise(network, 2),), dynamic_shapes=({0: Dim("batch")},))
    torch.export.save(program, path, extra_files={"class_names": "\n".join(network.preprocessing.class_names)})
    return torch.export.load(path).module()


_FORMATS = {"onnx": _onnx, "torch_export": _torch_export}


def _noise(network: BytesToScores, batch: int) -> Tensor:
    generator = torch.Generator().manual_seed(batch)
    return torch.randint(
        0, 256, (batch, *network.preprocessing.image_shape), generator=generator, dtype=torch.uint8
    )


@torch.inference_mode()
def _largest_difference(network: BytesToScores, exported: Callable[[Tensor], Tensor]) -> float:
    """Return the largest difference over several batch sizes, relative to the largest output or 1."""
    largest = 0.0
    for batch in BATCHES:
        images = _noise(network, batch)
        expected, given = network(images), exported(images)
        if given.shape != expected.shape:
            raise RuntimeError(f"the exported file returns {tuple(given.shape)}, not {tuple(expected.shape)}")
        scale = max(1.0, float(expected.abs().max()))
        # NaN must not pass for the smaller of two numbers
        largest = max(largest, float((given - expected).abs().nan_to_num(torch.inf).max()) / scale)
    return largest


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names) if len(names) <= 12 else f"{', '.join(names[:10])}, … (class_names in the file)"
