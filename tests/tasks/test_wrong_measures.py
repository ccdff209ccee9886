"""Losses and metrics that won't do are refused in a line, before there is a folder."""

import pytest

FORGETFUL = """
from cnnexp import Classifier
class Forgetful(Classifier):
    def __init__(self, image_shape, classes):
        super().__init__(image_shape, classes)
"""


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (
            "metrics.table._target_=torchmetrics.ConfusionMatrix",
            "metrics.table isn't one number but [10, 10] numbers",
        ),
        ("metrics=[f1] metrics.f1.average=none", "metrics.f1.average=macro"),
        ("metrics=[f1] metrics.f1.average=median", "metrics.f1.average="),
        ("metrics=[top5] metrics.top5.top_k=20", "metrics.top5: "),
        ("metrics.error._target_=torchmetrics.MeanSquaredError", "metrics.error: "),
        ("metrics.layer._target_=torch.nn.ReLU", "metrics.layer: torch.nn.ReLU isn't a torchmetrics.Metric"),
        ("model.loss=focal model.loss.class_weights=[1,2]", "2 class_weights for 10 classes"),
        ("model.loss=focal model.loss.gamma=-1", "model.loss.gamma=-1 is not allowed"),
        ("model.loss=other", "model.loss._target_ has no value yet"),
        (
            "model.loss=other model.loss._target_=torch.nn.CrossEntropyLoss model.loss.reduction=none",
            "must return one number, the mean over the batch, not [10] numbers",
        ),
        ("--config-dir conf model=forgetful", "call self.save_hyperparameters() in Forgetful.__init__"),
    ],
)
def test_what_can_not_be_measured_or_saved_is_refused(typed, said, cnnexp, folder, capsys, monkeypatch):
    (folder / "forgetful.py").write_text(FORGETFUL)
    (folder / "conf" / "model").mkdir(parents=True)
    (folder / "conf" / "model" / "forgetful.yaml").write_text("_target_: forgetful.Forgetful\n")
    monkeypatch.syspath_prepend(str(folder))
    assert cnnexp(*typed.split()) == 2
    error = capsys.readouterr().err
    assert said in error
    assert len(error.splitlines()) <= 2
    assert not (folder / "outputs").exists()
