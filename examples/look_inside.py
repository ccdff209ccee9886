"""Load a run and look at it: its most confident mistakes, and what its layers answer to an image of one's own.

    python -m cnnexp data=mnist
    python examples/look_inside.py outputs/cnn-mnist/2026-11-24_04-38-26 my-digit.png

A few seconds on a CPU. Writes mistakes.png and activations.png. Grey networks see light digits on dark: of a pen
on paper take the negative first (`task=predict … task.invert=true` does).
"""

import sys
from pathlib import Path

import lightning as L
import torch

from cnnexp import load_run
from cnnexp.data.preprocessing import Preprocessing, read_data_state
from cnnexp.evaluation.mistakes import most_confident_mistakes
from cnnexp.evaluation.predictions import predict_test
from cnnexp.inspection.activations import record_activations, strongest_channels
from cnnexp.reports.activations import draw_activations
from cnnexp.reports.figures import png
from cnnexp.reports.gallery import draw_gallery


def main(folder: str, photo: str) -> None:
    """Draw both images."""
    run = load_run(folder)
    preprocessing = Preprocessing.of_checkpoint(run.checkpoint)
    names = preprocessing.class_names
    run.data.load_state_dict(read_data_state(run.checkpoint))

    predictions = predict_test(L.Trainer(logger=False), run.model, run.data)
    worst = most_confident_mistakes(predictions, 12).tolist()
    print(f"{predictions.accuracy:.2%} of {len(predictions.labels)} test images right")
    texts = [f"{names[predictions.labels[i]]}, taken for\n{names[predictions.predicted[i]]}" for i in worst]
    Path("mistakes.png").write_bytes(png(draw_gallery(run.data.images("test", worst), texts, folder)))

    image = preprocessing.load(photo)
    floats = preprocessing(image[None])
    with torch.no_grad():
        probabilities = run.model(floats).softmax(1)[0]
    said = f"{names[probabilities.argmax()]} ({probabilities.max():.1%})"
    outputs = {name: output[0] for name, output in record_activations(run.model, floats).items()}
    channels = {name: strongest_channels(output, 8) for name, output in outputs.items()}
    figure = draw_activations(image, {"trained": outputs}, channels, Path(photo).name, f"taken for\n{said}")
    Path("activations.png").write_bytes(png(figure))
    print(f"{photo}: {said}")


if __name__ == "__main__":
    main(*sys.argv[1:3])
