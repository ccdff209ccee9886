"""What a sweep over the number of training images says of more of them."""

from cnnexp.evaluation.trends import power_law
from cnnexp.reports.study import Study
from cnnexp.reports.swept import is_number

SIZE = "data.train_size"


def learning_curve(study: Study) -> str | None:
    """Return how the validation error falls with the number of images, and what twice as many would give.

    None unless nothing else is swept, over three sizes or more with several seeds, and the 95 % interval of the
    exponent leaves out zero.
    """
    if list(study.swept) != [SIZE]:
        return None
    points = [
        (float(images), 1 - accuracy)
        for configuration in study.configurations
        for run in configuration.counted
        if is_number(images := run.record.result.get("train_images"))
        and (accuracy := run.numbers["val_accuracy"]) is not None
    ]
    law = power_law([size for size, _ in points], [error for _, error in points])
    # of a run a size nobody knows how much runs scatter
    if law is None or law.low <= 0 or len(points) == law.points:
        return None
    twice = 2 * law.largest
    error, low, high = law.predict(twice)
    return (
        f"Validation error falls with the number of training images as n^−{law.exponent:.2f} (95 % interval "
        f"{law.low:.2f} to {law.high:.2f}, {law.points} sizes, {len(points)} runs); on twice the most, "
        f"{twice:,.0f}, a run would have {error:.2%} ({low:.2%} to {high:.2%}), unless an error that more images "
        "don't lower is near."
    )
