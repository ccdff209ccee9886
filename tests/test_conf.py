"""Every file under conf/ composes, and every constructor it names takes the arguments it gives."""

import inspect
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.utils import get_object
from omegaconf import OmegaConf

import cnnexp.app  # noqa: F401  (registers the resolvers)
from cnnexp import Classifier
from cnnexp.command.check import check
from cnnexp.command.resolvers import config_folder

CONF = config_folder()
GROUPS = sorted(path for path in CONF.iterdir() if path.is_dir())
CHOICES = [(group.name, file.stem) for group in GROUPS for file in sorted(group.glob("[!_]*.yaml"))]
RUN = "run=somewhere"
NEEDED = {
    "arrays": ["data.root=somewhere"],
    "csv": ["data.root=somewhere"],
    "image_folder": ["data.root=somewhere"],
    "torchvision": ["data.name=KMNIST"],
    "compare": ["task.runs=[a,b]"],
    "export": [RUN],
    "mistakes": [RUN],
    "network": ["model.network._target_=torchvision.models.resnet18"],
    "own": ["model._target_=cnnexp.Airbench"],
    "predict": [RUN, "task.images=photos"],
    "report": ["run=somewhere"],
    "test": [RUN],
}
TRACKERS = {"comet": "comet_ml", "mlflow": "mlflow", "wandb": "wandb"}
AT_RUN_TIME = {"image_shape", "classes", "task"}
GIVEN_BY_OTHERS = {"self", "optimizer", "scheduler", "metrics"}
AFTERWARDS = set(inspect.signature(Classifier.train_with).parameters) - GIVEN_BY_OTHERS


def composed(*overrides: str):
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose("config", overrides=list(overrides), return_hydra_config=False)


def constructors(node, path=""):
    if isinstance(node, dict):
        if "_target_" in node:
            yield path, node
        for key, value in node.items():
            yield from constructors(value, f"{path}.{key}")


@pytest.mark.parametrize(("group", "choice"), CHOICES)
def test_each_choice_composes_and_binds_to_the_constructors_it_names(group, choice, folder):
    needed = list(NEEDED.get(choice, []))
    if "\nrun: ???" in (CONF / group / f"{choice}.yaml").read_text():
        needed = ["run=somewhere", *(one for one in needed if not one.startswith("run="))]
    config = composed(f"{group}={choice}", *needed)
    if choice in TRACKERS:
        pytest.importorskip(TRACKERS[choice], reason='pip install "cnnexp[test-trackers]"')
    check(config)
    found = list(constructors(OmegaConf.to_container(config, resolve=True)))
    assert found
    for path, node in found:
        constructor = get_object(node["_target_"])
        signature = inspect.signature(constructor)
        arguments = {key: value for key, value in node.items() if not key.startswith("_")}
        if path == ".model":
            arguments = {key: value for key, value in arguments.items() if key not in AFTERWARDS}
        if passes_on := getattr(constructor, "PASSES_ON", None):
            function = inspect.signature(get_object(node[passes_on]["_target_"]))
            function.bind(
                root="", **{key: arguments.pop(key) for key in set(arguments) - set(signature.parameters)}
            )
        if node.get("_partial_"):
            bound = signature.bind_partial(**arguments)
        else:
            needed_later = {name: None for name in AT_RUN_TIME if name in signature.parameters}
            bound = signature.bind(**arguments, **needed_later)
        assert set(arguments) <= {*bound.arguments, *bound.kwargs}, path


@pytest.mark.parametrize("file", sorted(CONF.rglob("*.yaml")), ids=lambda path: str(path.relative_to(CONF)))
def test_each_file_begins_with_a_line_that_says_what_it_is(file: Path):
    first, second = file.read_text().splitlines()[:2]
    line = second if first.startswith("# @package") else first
    assert line.startswith("# ")
    assert "TODO" not in line


def test_every_argument_of_the_networks_can_be_set_from_the_command_line():
    for model in ("airbench", "cnn", "ffnn", "network", "vgg16"):
        node = composed(f"model={model}").model
        signature = inspect.signature(get_object(node._target_))
        offered = {key for key in node if not key.startswith("_")}
        assert offered == (set(signature.parameters) - AT_RUN_TIME) | AFTERWARDS
