"""What is typed wrong, and the sentence it is answered by: one table of command lines."""

from pathlib import Path

import pytest
import torch

from cnnexp.app import run
from cnnexp.command.recorded import GROUPS

NO_GPU = pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has the GPU that is to be missed")

MISTAKES = [
    # names
    ("modle=cnn", "did you mean model?"),
    ("model=cn", "did you mean model=cnn?"),
    ("model=resnet", "no such model; Allowed: airbench, cnn, ffnn, network, own, vgg16"),
    ("model.loss=fokal", "no such loss; did you mean model/loss=focal?"),
    ("data=mnits", "did you mean data=mnist?"),
    ("optimizer=adm", "did you mean optimizer=adam?"),
    ("scheduler=cosin", "did you mean scheduler=cosine?"),
    ("trainer=tpu", "there is no such trainer"),
    ("task=fitt", "did you mean task=fit?"),
    ("task=evaluate", "there is no such task"),
    ("logger=tensorbord", "did you mean logger=tensorboard?"),
    ("callbacks=[emma]", "no such callback; did you mean callbacks=[ema]? Allowed: compile"),
    ("logger=[tensorbord]", "no such logger; did you mean logger=[tensorboard]? Allowed: comet"),
    ("callbacks=[ema,earlystopping]", "did you mean callbacks=[early_stopping]?"),
    ("experiment=notebook_cnn", "did you mean experiment=notebook_cnn_"),
    ("experiment=overfit", "did you mean experiment=overfit_"),
    # keys
    ("trainer.max_epoch=3", "did you mean trainer.max_epochs?"),
    ("model.chanels=[8]", "did you mean model.channels?"),
    ("optimizer.learning_rate=0.1", "optimizer.learning_rate: no such key"),
    ("batch_size=3", "did you mean data.batch_size?"),
    ("data.image_size=64", "data.image_size: no such key"),
    ("model=ffnn model.channels=[8]", "model.channels: no such key"),
    ("task.steps=3", "task.steps: no such key"),
    ("+trainer.max_epoch=3", "did you mean trainer.max_epochs?"),
    ("+model.kernel=3", "model.kernel"),
    ("+foo=1", "foo: no such setting"),
    # types
    ("trainer.max_epochs=abc", "valid integer"),
    ("trainer.max_epochs=2.5", "valid integer"),
    ("data.batch_size=1.5", "data.batch_size=1.5 is not allowed"),
    ("data.batch_size=big", 'data.batch_size="big" is not allowed'),
    ("optimizer.lr=fast", 'optimizer.lr="fast" is not allowed: input should be a valid number'),
    ("model.batch_norm=maybe", "model.batch_norm"),
    ("model.channels=8", "model.channels=8 is not allowed"),
    ("model.hidden=wide", "model.hidden"),
    ("seed=one", "seed"),
    ("seed=1.5", "seed=1.5 is not allowed"),
    ("data.horizontal_flip=sometimes", "data.horizontal_flip"),
    # ranges
    ("trainer.max_epochs=0", "type 1 or more"),
    ("seed=-1", "seed=-1 is not allowed"),
    ("data.batch_size=0", "greater than or equal to 1"),
    ("data.batch_size=-8", "greater than or equal to 1"),
    ("data.eval_batch_size=0", "greater than or equal to 1"),
    ("data.num_workers=-1", "greater than or equal to 0"),
    ("data.cutout=-2", "greater than or equal to 0"),
    ("model.dropout=1.5", "less than 1"),
    ("model.dropout=-0.1", "greater than or equal to 0"),
    ("model.loss.label_smoothing=1", "less than 1"),
    ("model.channels=[]", "model.channels=[] is not allowed"),
    ("model.channels=[0]", "item 0: input should be greater than or equal to 1"),
    ("model.hidden=[16,-1]", "item 1: input should be greater than or equal to 1"),
    ("model.kernel_size=0", "model.kernel_size=0 is not allowed"),
    ("optimizer.lr=-1", "greater than 0"),
    ("optimizer=sgd optimizer.momentum=-1", "optimizer.momentum=-1 is not allowed"),
    ("optimizer.betas=[2,0.9]", "optimizer:"),
    ("scheduler=onecycle scheduler.warmup=2", "scheduler.warmup=2 is not allowed"),
    ("scheduler=step scheduler.every=0", "scheduler.every=0 is not allowed"),
    ("callbacks=[save_every] callbacks.save_every.steps=0", "callbacks.save_every.steps=0 is not allowed"),
    ("seed=4294967296", "less than 4294967296"),
    ("data.batch_size=1e9", "valid integer"),
    ("data.train_eval_size=0", "data.train_eval_size=0 is not allowed"),
    ("model.hidden=[0]", "item 0: input should be greater than or equal to 1"),
    ("model.pool=0", "model.pool=0 is not allowed"),
    ("model=vgg16 model.width=0", "model.width=0 is not allowed"),
    ("trainer.max_epochs=-1", "the learning-rate schedule needs to know its end"),
    ("trainer.max_epochs=-3", "trainer.max_epochs=-3 is not allowed"),
    ("trainer.max_steps=0", "trainer.max_steps=0 trains nothing"),
    ("trainer.limit_train_batches=0", "greater than or equal to 1 or input should be greater than 0"),
    ("trainer.limit_train_batches=1.5", "trainer.limit_train_batches=1.5 is not allowed"),
    ("trainer.limit_val_batches=0", "greater than or equal to 1 or input should be greater than 0"),
    ("trainer.accumulate_grad_batches=0", "greater than or equal to 1"),
    ("trainer.gradient_clip_val=-1", "greater than 0"),
    ("optimizer.lr=null", "optimizer.lr=null is not allowed"),
    ("optimizer.lr=nan", "numbers are finite"),
    ("optimizer=sgd optimizer.nesterov=true optimizer.momentum=0", "Nesterov momentum requires a momentum"),
    ("callbacks=[ema] callbacks.ema.decay=2", "less than or equal to 1"),
    # what doesn't fit together
    ("model.kernel_size=[3,3,3]", "a list of 3 for 2 convolutions"),
    ("model.kernel_size=40", "40"),
    ("model.channels=[4,4,4,4,4,4]", "leaves nothing of a 28×28 image"),
    ("data.crop_padding=28", "it can be 0 to 27"),
    # told by the size of the images, which aren't there
    ("data=cifar10 data.root=nowhere model.channels=[1,2,3,4,5,6]", "leaves nothing of a 32×32 image"),
    ("data=cifar10 data.root=nowhere data.crop_padding=32", "it can be 0 to 31"),
    ("model=airbench data=image_folder data.root=nowhere data.image_size=4", "9×9"),
    ("model=vgg16 data=image_folder data.root=nowhere data.image_size=4", "VGG16 takes images of 8×8 and more"),
    ("model.padding=same model.stride=2", 'padding="same" needs stride=1'),
    ("model.padding=[1,1,1]", "a list of 3 for 2 convolutions"),
    ("data.val_size=1000000", "val_size=1000000: there are"),
    ("data.train_size=1000000", "train_size=1000000: there are"),
    ("model=airbench data=image_folder data.root={images} data.image_size=4 data.val_size=0.3", "9×9"),
    # the machine
    pytest.param("trainer=gpu", "no GPU here that torch can use; type trainer=auto", marks=NO_GPU),
    pytest.param("data.device=cuda", "data.device=cuda keeps the images on the GPU", marks=NO_GPU),
    ("trainer.accelerator=abacus", "trainer:"),
    ("trainer.devices=0", "trainer:"),
    ("trainer.accelerator=tpu", "trainer: "),
    ("trainer.accelerator=cpu trainer.devices=[0,1]", "trainer: "),
    pytest.param("trainer.accelerator=cuda trainer.devices=4", "trainer: ", marks=NO_GPU),
    ("trainer.precision=12", "trainer.precision=12 is not allowed"),
    # runs, checkpoints, images
    ("run=nowhere", "there is no such folder"),
    ("resume=nowhere", "nowhere: there is no such folder"),
    ("model._target_=nowhere.Net", "can't be imported: ModuleNotFoundError(\"No module named 'nowhere'\")"),
    ("hydra/launcher=joblibb", "did you mean hydra/launcher=joblib?"),
    ("hydra/sweeper=grids", "did you mean hydra/sweeper=grid?"),
    ("hydra.run.dir={file}/x", "a part of this path is a file"),
    ("run={empty}", "not a run's folder"),
    ("run={begun}", "it was killed as it began, with nothing done yet; type its command again"),
    ("resume={begun}", "it was killed as it began, with nothing done yet; type its command again"),
    ("run={file}", "there is no such folder"),
    ("run={run} data.root=nowhere data=image_folder", "there is no folder"),
    ("resume={empty}", "not a run's folder"),
    ("run={run} experiment=mnist_fast", "run= and experiment= each say where the settings come from"),
    ("run={run} optimizer.momentum=1", "optimizer.momentum: no such key"),
    ("resume={run}", "is complete after 1 epochs"),
    ("resume={run} model.hidden=[8]", "can't change model.hidden"),
    ("resume={run} task=test", "type run= instead"),
    ("task=test", "run has no value yet; type run=…"),
    ("task=mistakes", "run has no value yet; type run=…"),
    ("task=test run={run} checkpoint=first", "there is no first"),
    ("task=test run={run} checkpoint={file}", "can't be"),
    ("task=predict run={run}", "task.images"),
    ("task=predict run={run} task.images=nothing.png", "nothing.png"),
    ("task=activations run={run} task.index=100000", "100000"),
    ("task=activations run={run} task.layer=layers.99", "layers.99"),
    ("task=export run={run} task.format=tensorflow", "task.format"),
    ("task=compare task.runs=[{run}]", "task=compare takes 2"),
    ("task=report run=nowhere", "there is no such folder"),
    ("task=report run={empty}", "holds no runs"),
    ("data=image_folder", "data.root=…"),
    ("data=image_folder data.root={empty}", "{empty}"),
    ("data=mnist data.root={file} data.mirrors=[file:///nowhere]", "is a file; give the folder"),
    ("data.val_size=2.5", "val_size"),
    # what leaves nothing, isn't there, or doesn't fit
    ("trainer.limit_val_batches=0.5", "trainer.limit_val_batches=0.5 of 1 batch leaves none; type 1"),
    ("trainer.limit_train_batches=0.01", "of 41 batches leaves none"),
    ("trainer.limit_test_batches=0.1", "of 2 batches leaves none"),
    ("trainer.val_check_interval=100", "type 41 or less"),
    ("callbacks=[early_stopping] callbacks.early_stopping.monitor=val_acc", "did you mean val_accuracy?"),
    (
        "callbacks=[early_stopping] callbacks.early_stopping.monitor=running_loss trainer.val_check_interval=0.5",
        "type +callbacks.early_stopping.check_on_train_epoch_end=true",
    ),
    (
        "callbacks=[early_stopping] +callbacks.early_stopping.check_on_train_epoch_end=true "
        "trainer.check_val_every_n_epoch=2",
        "val_loss is not measured in each epoch; leave check_on_train_epoch_end out",
    ),
    ("+callbacks.mine._target_=collections.OrderedDict", "doesn't say what arguments it takes"),
    ("model.channels=[99999999999]", "this machine has"),
    ("model=vgg16 model.width=1e9", "don't fit into any memory"),
    ("optimizer.weight_decay=1e308", "leaves no finite weight"),
    ("hydra.run.dir=/proc/nothing", "can't be made"),
    ("hydra.run.dir=/dev/null", "is a file"),
    ("-m hydra.sweep.dir=/proc/nothing seed=0,1", "can't be made"),
    ("-m seed=range(0,0)", "the sweep has no jobs"),
    ("-m seed=range(0,3,0)", "the sweep has no jobs"),
    ("-m resume={run} trainer.max_epochs=3,4", "leave -m out"),
    ("scheduler=cosine scheduler.final_lr=10", "final_lr=10 is above the learning rate, 0.001"),
    ("scheduler=plateau scheduler.min_lr=0.001", "nothing to fall"),
    ("callbacks=[early_stopping] callbacks.early_stopping.mode=max", "val_loss is better the lower; type"),
    ("trainer.check_val_every_n_epoch=7", "training has 5 epochs: nothing would be validated; type 5 or less"),
    ("trainer.max_epochs=-1 trainer.max_time=00:00:01:00", "or trainer.max_steps"),
    ("trainer.max_time=00:00:00:00", "trains nothing"),
    ("model.loss=other model.loss._target_=torch.nn.MultiMarginLoss model.loss.reduction=nope", "nope is not"),
    ("-m hydra/launcher=submitit_local hydra.launcher.timeout_min=-1 seed=0,1", "greater than or equal to 1"),
    # what would change nothing
    ("name=mine", "this is a single run"),
    ("fail_fast=true", "this is a single run"),
    ("checkpoint=last", "task=fit uses none"),
    ("baseline=model=cnn", "baseline= is of a sweep's report: add -m, or type task=report"),
    ("reveal=true", "reveal= is of a sweep's report: add -m, or type task=report"),
    ("task=test run={run} reveal=true", "reveal= is of a sweep's report"),
    ("-m model=cnn,ffnn baseline=model=vgg16", "baseline=model=vgg16 names no configuration of these: model=cnn"),
    ("-m model=cnn,ffnn seed=0,1 baseline=seed=0", "seed isn't swept here (swept are model)"),
    ("-m model=cnn,ffnn optimizer.lr=1,2 baseline=model=cnn", "baseline='model=cnn,optimizer.lr=1'"),
    ("-m model=cnn,ffnn reveal=true,false", "reveal is of the whole sweep: give it one value"),
    ("-m task=summary model=cnn,ffnn reveal=true", "reveal= is of sweeps that train"),
    ("-m seed=0,1 reveal=3", "reveal=3 is not allowed"),
    ("-m hydra/sweeper=optuna optimizer.lr=0.1,0.2 baseline=lr=0.1", "a search chooses its own"),
    ("settle=true", "settle= is of a sweep, and this is a single run"),
    ("task=report run={run} settle=true", "settle= is of a sweep, and this is a single run"),
    ("-m model=cnn,ffnn settle=true", "type seed=0,1,2"),
    ("-m seed=0,1 settle=true", "compares configurations, and there is one"),
    ("-m model=cnn,ffnn seed=0,1 data.seed=1,2 settle=true", "and no data.seed"),
    ("-m model=cnn,ffnn seed=0,1 settle.max_seeds=9", "settle.max_seeds changes nothing without settle=true"),
    ("-m model=cnn,ffnn seed=0,1,2 settle=true settle.max_seeds=3", "no further seeds: 3 are swept already"),
    ("-m model=cnn,ffnn seed=0,1 settle=true settle.max_seeds=few", "settle.max_seeds=\"few\" is not allowed"),
    ("-m model=cnn,ffnn seed=0,1 settle=perhaps", "settle.enabled=\"perhaps\" is not allowed"),
    ("-m hydra/sweeper=optuna optimizer.lr=0.1,0.2 settle=true", "a search chooses its own"),
    ("-m task=summary model=cnn,ffnn settle=true", "is of sweeps that train"),
    ("task=report run={run} baseline=model=cnn", "model isn't swept here (nothing is)"),
    ("task=test run={run} model=cnn", "as it was trained"),
    ("+scheduler.epochs=3", "it comes from trainer.max_epochs"),
    ("+trainer.callbacks=[]", "it comes from the group callbacks"),
    # groups
    *((f"{group}={bad}", f"{group}={bad} is no choice") for group in GROUPS for bad in ("null", "{}", "3", "")),
    ("optimizer=[adam]", "type optimizer=adam"),
    ("callbacks=[ema,ema]", "has ema twice"),
    ("=3", "an override is key=value"),
    ("hydra.output_subdir=null", "can't be set"),
    ("--shell-completion", "goes with install=SHELL"),
    ("--config-name=nope", "there is no such file"),
    ("--cfg nonsense", "invalid choice"),
    # the key meant
    ("lr=0.1", "did you mean optimizer.lr?"),
    ("epochs=3", "did you mean trainer.max_epochs?"),
    # the grammar
    ("data.root=a(1)", """type 'data.root="a(1)"'"""),
    ("data.root=照片", """type 'data.root="照片"'"""),
    ("data.root", "an override is key=value"),
    ("model.channels=[1", "an override is key=value"),
    ("-m seed=0,1 model=cnn,cnm", "did you mean model=cnn?"),
    ("--run --multirun", ""),
    ("--experimental-rerun x.pickle", ""),
]  # fmt: skip


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    """A run that is over."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("finished"))
        settings = ["model=ffnn", "model.hidden=[4]", "trainer.max_epochs=1", "trainer.limit_train_batches=1"]
        assert run(settings) == 0
        [made] = Path("outputs").absolute().glob("*/*")
        return made


@pytest.fixture
def places(folder: Path, finished: Path, every_data_set: Path) -> dict[str, str]:
    """Paths that the table's lines name: a finished run among them."""
    (folder / "empty").mkdir()
    (folder / "file").write_text("not what you think")
    # Hydra's record, which it writes first
    (folder / "begun" / ".hydra").mkdir(parents=True)
    (folder / "begun" / ".hydra" / "config.yaml").write_text("seed: 0\ndata:\n  seed: ${seed}\n")
    return {
        "run": str(finished), "file": str(folder / "file"), "empty": str(folder / "empty"),
        "begun": str(folder / "begun"), "images": str(every_data_set / "images"),
    }  # fmt: skip


def snapshot(folder: Path) -> dict[Path, tuple[int, int]]:
    return {path: (path.stat().st_size, path.stat().st_mtime_ns) for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(("typed", "said"), MISTAKES)
def test_a_mistake_is_answered_in_a_line_or_two_with_status_2(typed, said, cnnexp, places, folder, capsys):
    for name, path in places.items():
        typed, said = typed.replace(f"{{{name}}}", path), said.replace(f"{{{name}}}", path)
    earlier = Path(places["run"])
    before, things = snapshot(earlier), {path.name for path in earlier.iterdir()}
    capsys.readouterr()
    try:
        status = cnnexp(*typed.split(" "))
    except SystemExit as end:  # Hydra's own parser of flags
        status = end.code
    assert status == 2
    printed = capsys.readouterr().err
    assert said in printed
    assert "Traceback" not in printed
    # the answer is all that stands there, but for the usage that Hydra's own parser prints before it
    answer = printed[printed.index("cnnexp:") :]
    assert len(answer.strip().splitlines()) <= 2
    assert {path: stat for path, stat in snapshot(earlier).items() if path in before} == before
    assert not (folder / "outputs").exists()
    assert {path.name for path in earlier.iterdir()} == things


def test_the_table_is_as_long_as_it_should_be():
    assert len(MISTAKES) >= 60
