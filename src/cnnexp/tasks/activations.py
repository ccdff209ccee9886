"""``task=activations``: a network's outputs layer by layer for an image, trained and untrained side by side."""

import logging
from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

from annotated_types import Ge
from torch import Tensor

from cnnexp.inspection.activations import record_activations, strongest_channels
from cnnexp.job.figures import save_figures
from cnnexp.job.job import Job
from cnnexp.job.subject import choose_image, load_trained, said_of, untrained
from cnnexp.models.shapes import show
from cnnexp.reports.activations import draw_activations
from cnnexp.reports.tables import in_columns, shown, write_csv

log = logging.getLogger(__name__)


def activations(
    job: Job,
    image: str | None = None,
    index: Annotated[int, Ge(0)] | None = None,
    layer: str | Sequence[str] | None = None,
    channels: Annotated[int, Ge(1)] | Literal["all"] = 8,
) -> None:
    """Draw the outputs of convolutions, or of any layers, for one image.

    Shown are the channels with the largest mean activation in the trained network, values below 0 counted as
    0; and the same channels of the untrained one, whose weights are those that the run's training began with.
    """
    loaded, preprocessing = load_trained(job)
    layers = [layer] if isinstance(layer, str) else layer
    subject = choose_image(job, preprocessing, image, index)
    models = {"trained": loaded.model, "untrained": untrained(loaded)}
    outputs = {
        name: {key: output[0] for key, output in record_activations(model, subject.floats, layers).items()}
        for name, model in models.items()
    }
    chosen = {
        key: strongest_channels(output, None if channels == "all" or output.dim() == 1 else channels)
        for key, output in outputs["trained"].items()
    }
    said = {name: said_of(model, subject, preprocessing)[0] for name, model in models.items()}
    answers = (f"\n{name}:\n{text}" for name, text in said.items())
    caption = "\n".join([subject.title.replace(" (", "\n("), *answers])
    every = channels == "all" or all(output.dim() == 1 for output in outputs["trained"].values())
    which = "all channels" if every else f"{channels} channels a layer, of the largest mean activation"
    title = f"{type(loaded.model).__name__} on {subject.title}; {which}"
    # all channels of many layers would be too much for one figure
    groups = [[key] for key in chosen] if channels == "all" and len(chosen) > 1 else [list(chosen)]
    save_figures(job, {
        "activations" if len(groups) == 1 else f"activations-{group[0]}": draw_activations(
            subject.pixels,
            {name: {key: found[key] for key in group} for name, found in outputs.items()},
            chosen, title, caption,
        )
        for group in groups
    })  # fmt: skip
    write_csv(job.folder / "activations.csv", [
        {
            "network": name, "layer": key, "shape": show(values.shape) or "1",
            "channel": channel, **{what: f"{number:.7g}" for what, number in _numbers(values).items()},
            "shown": channel in chosen[key],
        }
        for name, found in outputs.items()
        for key, output in found.items()
        for channel, values in enumerate(output)
    ])  # fmt: skip
    log.info("%s; taken for: %s", subject.title, ", ".join(f"{text} by the {name}" for name, text in said.items()))
    log.info("%s", _table(outputs, chosen))
    log.info("channels: %s; files: %s", which, shown(job.folder))


def _numbers(values: Tensor) -> dict[str, float]:
    return {
        "mean": float(values.mean()), "std": float(values.std(correction=0)), "min": float(values.min()),
        "max": float(values.max()), "above_zero": float((values > 0).float().mean()),
    }  # fmt: skip


def _table(outputs: Mapping[str, Mapping[str, Tensor]], chosen: Mapping[str, Sequence[int]]) -> str:
    titles = [f"{name}: {what}" for name in outputs for what in ("mean", "std", "above 0")]
    rows = [["layer", "output", *titles, "shown"]]
    for key, channels in chosen.items():
        row = [key, show(outputs["trained"][key].shape)]
        for found in outputs.values():
            numbers = _numbers(found[key])
            row += [f"{numbers['mean']:.3g}", f"{numbers['std']:.3g}", f"{numbers['above_zero']:.0%}"]
        rows.append([*row, ", ".join(map(str, channels[:8])) + (", …" if len(channels) > 8 else "")])
    return in_columns(rows, "llrrrrrrl")
