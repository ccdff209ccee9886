"""The data set of a run as one Lightning object: split, batches, and what the network must know of it."""

import inspect
from collections.abc import Sequence
from functools import cached_property
from typing import Annotated, Any, Literal, TypeAlias

import lightning as L
import torch
from annotated_types import Ge, Interval
from torch import Tensor

from cnnexp.data.augment import Augmentation, check_padding, to_float
from cnnexp.data.loader import BatchLoader
from cnnexp.data.parts import Drawing, Part, Parts, record_of, without_duplicates
from cnnexp.data.recorded_split import Record, extended
from cnnexp.data.sets import DataSet, Images, KnownShape, find, load, name_of
from cnnexp.data.split import stratified_order
from cnnexp.data.statistics import image_brightness, mean_and_std
from cnnexp.errors import CnnexpError

Count: TypeAlias = Annotated[int, Ge(1)]
PixelCount: TypeAlias = Annotated[int, Ge(0)]

_MEASURED = 2000  # training images, at least, that the clean numbers are measured on


class ImageDataModule(L.LightningDataModule):
    """Images held in memory as bytes, and batches of them as (float images, labels).

    Everything about it, ``image_shape`` and ``classes`` for the network among them, can be asked before
    ``setup``: the data is read when first needed. It repeats exactly for equal arguments.

    Args:
        dataset: a function from a root to ``cnnexp.Images``, or the name of one that comes with cnnexp: digits
            (of scikit-learn); mnist, fashion_mnist, cifar10, cifar100 and torchvision, which are downloaded
            where they are missing; image_folder, csv and arrays, which are of one's own.
        root: folder, or file, of the data.
        batch_size: images a step, over all devices.
        eval_batch_size: images a batch in evaluation.
        train_size: a stratified subset of what validation leaves, as a count or a fraction; smaller ones are
            subsets of larger ones. All of it when None.
        val_size: the stratified part of the training set that validates, as a count or a fraction; nothing is
            drawn where the data set brings a validation part of its own.
        validation: "split" off the training set by ``val_size``; or "test": validate on the test set and
            train on the whole training set.
        train_eval_size: number of training images in ``train_eval_dataloader``; "val": as many as
            validate; "auto": the same but 2,000 at least, or all. All of more would cost a third of the epoch.
        normalize: subtract the mean and divide by the standard deviation of the images trained on, channel
            by channel; images only lie in [0, 1] when False.
        crop_padding: shift training images at random by up to so many pixels; 0 is off.
        horizontal_flip: mirror training images at random; "alternating": each one every other epoch.
        cutout: side of a square that is blanked in training images; 0 is off.
        num_workers: threads that decode image files, 0 being one a core; batches need none.
        device: where the images lie; auto: on the GPU when training there and they take less than half
            of its free memory.
        duplicates: byte-identical images in two parts or classes are told of ("warn"), left out of training and
            of validation ("drop"; the test keeps its own), or refused ("error").
        seed: of the split, the order and the augmentation.
        options: further arguments of the data set's function, such as ``image_size``.

    Raises:
        CnnexpError: on first use, when the data isn't there or doesn't allow what was asked for.
    """

    PASSES_ON = "dataset"
    """The argument that gets ``options``: the command checks them against its signature."""

    def __init__(
        self,
        dataset: str | DataSet,
        root: str = "data",
        batch_size: Count = 128,
        eval_batch_size: Count = 250,
        train_size: Count | Annotated[float, Interval(gt=0, le=1)] | None = None,
        val_size: Count | Annotated[float, Interval(gt=0, lt=1)] = 0.1,
        validation: Literal["split", "test"] = "split",
        train_eval_size: Count | Literal["auto", "val", "all"] = "auto",
        normalize: bool = True,
        crop_padding: PixelCount = 0,
        horizontal_flip: bool | Literal["alternating"] = False,
        cutout: PixelCount = 0,
        num_workers: Annotated[int, Interval(ge=0, le=1024)] = 0,
        device: Literal["auto", "cpu", "cuda"] = "auto",
        duplicates: Literal["warn", "drop", "error"] = "warn",
        seed: Annotated[int, Ge(0)] = 0,
        **options: Any,
    ) -> None:
        super().__init__()
        self.dataset = dataset
        self.root = root
        self.batch_size = batch_size
        self.eval_batch_size = eval_batch_size
        self.train_size = train_size
        self.val_size = val_size
        self.validation = validation
        self.train_eval_size = train_eval_size
        self.normalize = normalize
        self.crop_padding = crop_padding
        self.horizontal_flip = horizontal_flip
        self.cutout = cutout
        self.num_workers = num_workers
        self.device = device
        self.duplicates = duplicates
        self.seed = seed
        self.use_split(None)
        self.options = options
        self.name = str(options.get("name") or name_of(dataset))
        self._moved: dict[str, tuple[Tensor, Tensor]] = {}

    # what the data is

    @property
    def known_shape(self) -> KnownShape | None:
        """``image_shape`` and ``classes`` where they are known without reading, see ``sets.known_shape``."""
        return getattr(self._function, "known_shape", None)

    @property
    def trial_shape(self) -> KnownShape | None:
        """The same, to try a network on: of image files the side is known, channels and classes are made up."""
        made_up = getattr(self._function, "made_up_shape", None)
        sizes = {key: value for key, value in self.options.items() if key == "image_size"}
        return self.known_shape or (None if made_up is None else made_up(**sizes))

    def check(self, device: torch.device) -> None:
        """Raise CnnexpError for what can't be done, whatever is in the images, with training on ``device``."""
        if self.device == "cuda" and device.type != "cuda":
            raise CnnexpError(
                f"data.device=cuda keeps the images on the GPU, but training runs on the {device.type}; "
                "type data.device=auto, or train on a GPU"
            )
        if (shape := self.trial_shape) is not None:
            check_padding(self.crop_padding, *shape[0][1:])
            if self.cutout > max(shape[0][1:]):
                raise CnnexpError(
                    f"data.cutout={self.cutout} blanks whole images; they have {shape[0][1]} pixels a side"
                )

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(channels, height, width) of an image."""
        channels, height, width = self._source.train_images.shape[1:]
        return channels, height, width

    @property
    def classes(self) -> int:
        """Number of classes."""
        return len(self._source.class_names)

    @property
    def class_names(self) -> list[str]:
        """The name of each label."""
        return list(self._source.class_names)

    @property
    def mean(self) -> list[float] | None:
        """Mean of each channel of the [0, 1] images trained on; None when not normalized."""
        return self._prepared["mean"]

    @property
    def std(self) -> list[float] | None:
        """Standard deviation of each channel, as ``mean``."""
        return self._prepared["std"]

    @property
    def sizes(self) -> dict[str, int]:
        """Number of images that train, validate and test."""
        return {part: len(indices) for part, (_, indices) in self._parts.items()}

    @property
    def train_eval_images(self) -> int:
        """Number of training images that the clean training numbers are measured on, within the trainer's limits.

        Where it overfits a few batches on purpose, these and no others.
        """
        sizes, count = self.sizes, self.train_eval_size
        if isinstance(count, str):
            count = {"all": sizes["train"], "val": sizes["val"], "auto": max(sizes["val"], _MEASURED)}[count]
        trained, validated = self._limited("train", self.batch_size), self._limited("val", self.eval_batch_size)
        if self._overfits:
            return trained
        return min(count, trained, count if validated == sizes["val"] else validated)

    @property
    def fingerprint(self) -> str:
        """A hash of all images, labels and class names of the data set, however it is split."""
        return self._source.fingerprint()

    @property
    def majority_baseline(self) -> float:
        """The test accuracy of always answering the class that most training images are of."""
        return float((self.labels("test") == self.labels("train").bincount().argmax()).double().mean())

    def use_split(self, record: Record | None, only_test: bool = False, fingerprint: str | None = None) -> None:
        """Split as a run's record says, before the data are read: what it trained on is never tested.

        Of image files; the split of other data sets is a function of the data. Files that the record doesn't know
        join training, where the test isn't a part of its own.

        Args:
            record: as ``split_record`` gave it.
            only_test: draw training and validation anew, from what doesn't test.
            fingerprint: of the data that the run began with; others are told in the log.
        """
        self.recorded, self.only_test, self.began_with = record, only_test, fingerprint

    def split_record(self) -> Record | None:
        """Return which files train, validate and test; None for other data sets than image files."""
        if self._source.files is None:
            return None
        now = record_of(self._source, self._parts)
        return now if self.recorded is None or self.only_test else extended(self.recorded, now)

    def labels(self, part: Part) -> Tensor:
        """Return the labels of a part, int64, shape (images,); "val" is the test set where that validates."""
        kept, indices = self._parts[part]
        return self._source.part(kept)[1][indices]

    def images(self, part: Part, positions: Sequence[int]) -> Tensor:
        """Return images of a part as they are kept: uint8, shape (len(positions), *image_shape).

        Positions count from 0 in the order of ``labels`` and of the evaluation batches.
        """
        kept, indices = self._parts[part]
        return self._source.part(kept)[0][indices[torch.tensor(positions, dtype=torch.int64)]]

    pictures = images  # the name until 0.1

    @property
    def brightness(self) -> list[float] | None:
        """Mean and standard deviation, over training images, of an image's mean value in [0, 1].

        They tell a negative from an image. None when a checkpoint was loaded that doesn't say.
        """
        return self._prepared.get("brightness")

    def __str__(self) -> str:
        # Lightning's own would iterate over every batch
        return f"{type(self).__name__}({self.name!r}, root={self.root!r}, batch_size={self.batch_size})"

    def training_images(self, count: int) -> Tensor:
        """Return some of the images trained on as a network is given them, but not augmented.

        Args:
            count: how many; all of them where there are fewer. They are a stratified part, always the same.

        Returns:
            Floats on the CPU, shape (count, channels, height, width).
        """
        images = self._source.train_images[self._parts["train"][1][:count]]
        mean, std = (None if v is None else torch.tensor(v).view(-1, 1, 1) for v in (self.mean, self.std))
        return to_float(images, mean, std)

    # Lightning's hooks

    def prepare_data(self) -> None:
        """Download what is missing, or decode an image folder; in one process a machine."""
        _ = self._source

    def setup(self, stage: str | None = None) -> None:
        """Read and split the data, if that hasn't happened yet."""
        _ = self._parts

    def train_dataloader(self) -> BatchLoader:
        """Return the training batches, shuffled anew each epoch and augmented.

        Neither when the trainer overfits a few batches on purpose: these must be the same every epoch.
        """
        augmentation = Augmentation() if self._overfits else self._augmentation()
        return self._loader("train", self.batch_size, shuffle=not self._overfits, augmentation=augmentation)

    def val_dataloader(self) -> BatchLoader:
        """Return the validation batches."""
        return self._loader("val", self.eval_batch_size)

    def train_eval_dataloader(self) -> BatchLoader:
        """Return training images without augmentation, a stratified part, for measuring on them."""
        return self._loader("train", self.eval_batch_size, self.train_eval_images)

    def test_dataloader(self) -> BatchLoader:
        """Return the test batches."""
        return self._loader("test", self.eval_batch_size)

    def predict_dataloader(self) -> BatchLoader:
        """Return the test batches."""
        return self.test_dataloader()

    def state_dict(self) -> dict[str, Any]:
        """Return what a network must be given images by, for its checkpoint."""
        return {
            "class_names": self.class_names,
            "image_shape": list(self.image_shape),
            "mean": self.mean,
            "std": self.std,
            "brightness": self.brightness,
            "levels": None if self._source.levels is None else list(self._source.levels),
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Prepare images as a checkpoint's network was given them.

        Raises:
            CnnexpError: when its classes are not those of the data.
        """
        if list(state_dict["class_names"]) != self.class_names:
            raise CnnexpError(
                f"the checkpoint's classes ({', '.join(state_dict['class_names'])}) are not those of "
                f"{self.name} ({', '.join(self.class_names)}); give it the data it was trained on"
            )
        self._prepared = dict(state_dict)

    # helpers

    @property
    def _function(self) -> DataSet:
        function = find(self.dataset)
        return getattr(function, "func", function)  # a partial doesn't have what its function has

    @cached_property
    def _source(self) -> Images:
        options = dict(self.options)
        if "num_workers" in inspect.signature(find(self.dataset)).parameters:
            options.setdefault("num_workers", self.num_workers)
        return load(self.dataset, self.root, **options)

    @cached_property
    def _parts(self) -> Parts:
        """Which part of the source each part is taken from, and which of its images it is."""
        val_size = self.val_size if self.validation == "split" else None
        drawing = Drawing(self._source, val_size, self.train_size, self.seed)
        parts = drawing.parts(str(self.root), self.recorded, self.only_test, self.began_with)
        return without_duplicates(self._source, parts, self.duplicates)

    @cached_property
    def _prepared(self) -> dict[str, Any]:
        """What images are prepared by: of those trained on, until a checkpoint's is loaded."""
        source, train = self._source, self._parts["train"][1]
        mean, std = mean_and_std(source.train_counts(train)) if self.normalize else (None, None)
        # the indices begin with a stratified part; a thousand images are enough to tell what is unlike them
        return {"mean": mean, "std": std, "brightness": image_brightness(source.train_images[train[:1000]])}

    def _augmentation(self) -> Augmentation:
        # blank means the mean, which normalization turns into 0
        mean = [0.0] * self.image_shape[0] if self.mean is None else self.mean
        fill = torch.tensor(mean).mul(255).round().to(torch.uint8).view(-1, 1, 1)
        return Augmentation(self.crop_padding, self.horizontal_flip, self.cutout, fill.to(self._training_device()))

    def _loader(self, part: Part, batch_size: int, count: int | None = None, **kwargs: Any) -> BatchLoader:
        kept, indices = self._parts[part]
        images, labels = self._place(kept)
        trainer = self.trainer
        limit = 1.0 if trainer is None or part == "train" else getattr(trainer, f"limit_{part}_batches")
        if limit != 1.0 or isinstance(limit, int):  # 1 is one batch, 1.0 all of them
            # a folder's images lie class by class: the first batches alone would be of the first classes
            indices = indices[stratified_order(self.labels(part), self.seed)]
        return BatchLoader(
            images,
            labels,
            indices[:count],
            batch_size,
            mean=self.mean,
            std=self.std,
            device=self._training_device(),
            seed=self.seed,
            rank=trainer.global_rank if trainer is not None else 0,
            world_size=trainer.world_size if trainer is not None else 1,
            **kwargs,
        )

    def _limited(self, part: Part, batch_size: int) -> int:
        """Return how many images of a part the trainer's limit leaves, in whole batches."""
        images, limit = self.sizes[part], getattr(self.trainer, f"limit_{part}_batches", 1.0)
        batches = limit if isinstance(limit, int) else int(-(-images // batch_size) * limit)
        return min(images, batches * batch_size)

    @property
    def _overfits(self) -> bool:
        """Whether the trainer overfits a few batches on purpose."""
        return getattr(self.trainer, "overfit_batches", 0) > 0

    def _training_device(self) -> torch.device:
        """Return the GPU that is trained on, or the CPU: other devices get their batches from Lightning."""
        if self.trainer is not None:
            device = self.trainer.strategy.root_device
            return device if device.type == "cuda" else torch.device("cpu")
        return torch.device("cuda" if self.device == "cuda" and torch.cuda.is_available() else "cpu")

    def _place(self, part: str) -> tuple[Tensor, Tensor]:
        """Return a part's images and labels, on the device where they are to lie."""
        source, device = self._source, self._training_device()
        self.check(device)
        images, labels = source.part(part)
        if device.type != "cuda" or self.device == "cpu":
            return images, labels
        key = f"{part} {device}"
        if key not in self._moved:
            if self.device == "auto" and images.numel() > torch.cuda.mem_get_info(device)[0] / 2:
                return images, labels
            self._moved[key] = images.to(device), labels.to(device)
        return self._moved[key]
