import importlib.util
import json

import pytest
import torch

from cnnexp import load_run

# onnxscript and torch's exporter use what Python and numpy are about to take away
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


@pytest.fixture
def images_and_logits(trained):
    def make(model):
        loaded = load_run(trained(model))
        floats, _ = next(iter(loaded.data.test_dataloader()))
        with torch.no_grad():
            return loaded.data.images("test", range(7)), loaded.model(floats[:7])

    return make


def exported(run, typed, cnnexp):
    before = set((run / "export").glob("*"))
    assert cnnexp("task=export", f"run={run}", *typed) == 0
    [made] = set((run / "export").glob("*")) - before
    result = json.loads((made / "result.json").read_text())
    assert result["largest_difference"] < 1e-5
    return made / result["file"]


@pytest.mark.parametrize(
    "model", ["cnn", pytest.param("ffnn", marks=pytest.mark.slow), pytest.param("vgg16", marks=pytest.mark.slow)]
)
def test_onnx_takes_bytes_in_any_batch_and_gives_the_networks_probabilities(
    model, trained, cnnexp, folder, images_and_logits
):
    onnxruntime = pytest.importorskip("onnxruntime")
    images, logits = images_and_logits(model)
    file = exported(trained(model), [], cnnexp)
    assert [path.name for path in file.parent.glob("*.onnx*")] == ["model.onnx"]
    session = onnxruntime.InferenceSession(file)
    for batch in (1, 7):
        [given] = session.run(["probabilities"], {"images": images[:batch].numpy()})
        assert torch.tensor(given) == pytest.approx(logits[:batch].softmax(1), abs=1e-5)
    assert session.get_modelmeta().custom_metadata_map["class_names"].split("\n") == list("0123456789")


@pytest.mark.parametrize(
    "model", ["cnn", pytest.param("ffnn", marks=pytest.mark.slow), pytest.param("vgg16", marks=pytest.mark.slow)]
)
def test_torchs_format_gives_the_networks_logits(model, trained, cnnexp, folder, images_and_logits):
    images, logits = images_and_logits(model)
    file = exported(trained(model), ["task.format=torch_export", "task.output=logits"], cnnexp)
    names = {"class_names": ""}
    network = torch.export.load(file, extra_files=names).module()
    assert network(images).detach() == pytest.approx(logits, abs=1e-4)
    assert names["class_names"].split("\n") == list("0123456789")


def test_an_unknown_format_is_refused(trained, cnnexp, folder, capsys):
    assert cnnexp("task=export", f"run={trained('cnn')}", "task.format=pdf") == 2
    assert "'onnx' or 'torch_export'" in capsys.readouterr().err


def test_without_the_packages_one_line_says_what_to_install(trained, cnnexp, folder, capsys, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        "cnnexp.tasks.export.find_spec", lambda name: None if name == "onnxruntime" else find(name)
    )
    assert cnnexp("task=export", f"run={trained('cnn')}") == 2
    assert "needs onnxruntime: python -m pip install 'cnnexp[onnx]'" in capsys.readouterr().err


def test_a_file_that_gives_something_else_is_not_left_behind(trained, cnnexp, folder, monkeypatch):
    from cnnexp.data.preprocessing import Preprocessing
    from cnnexp.tasks import export

    loaded = load_run(trained("cnn"))
    write = export._FORMATS["torch_export"]

    def wrong(network, path):
        network.model.layers[0].weight.data += 1
        return write(network, path)

    monkeypatch.setitem(export._FORMATS, "torch_export", wrong)
    with pytest.raises(RuntimeError, match="differ from the network's"):
        export.export_network(
            loaded.model, Preprocessing.of_checkpoint(loaded.checkpoint), folder / "model.pt2", "torch_export"
        )
    assert list(folder.iterdir()) == []
