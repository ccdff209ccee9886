"""Where an epoch's row of numbers goes: ``metrics.csv``, the terminal, TensorBoard.

All are Lightning loggers, because a logger is what gets the row whole. The x axis is the epoch, from one.
"""

import contextlib
import csv
import io
import logging
import os
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TextIO

from lightning.pytorch.loggers.logger import Logger

from cnnexp.runs import leaves, write_whole

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

log = logging.getLogger(__name__)

Status = Literal["completed", "interrupted", "failed"]

WIDTH = 80
"""Characters in a line of the terminal."""
IMAGES = ("train_eval_images", "val_images", "running_images")
"""How many images an epoch's numbers are of."""
COLUMNS = [
    "epoch", "train_loss", "train_accuracy", "val_loss", "val_accuracy", "learning_rate", "seconds",
    "running_loss", "running_accuracy", *IMAGES, "val_loss_se",
]  # fmt: skip


class _EpochLogger(Logger):
    """A logger that takes whole epochs, rows of ``Classifier.history``, and leaves other metrics alone."""

    name = None
    version = None

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        pass

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        pass


class CsvLogger(_EpochLogger):
    """``metrics.csv``: one row an epoch, and after the columns that every run has those of further numbers."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = Path(path)

    def log_epoch(self, epoch: int, row: Mapping[str, float]) -> None:
        """Append a row; what wasn't measured is an empty cell. A number that is new makes a new column."""
        before = self.path.stat().st_size if self.path.exists() else 0
        with self.path.open(newline="") if before else io.StringIO() as file:
            reader = csv.DictReader(file)
            columns = list(reader.fieldnames or ())
            if not set(row) <= set(columns):
                self.start_again([*({k: float(v) for k, v in old.items() if v} for old in reader), row])
                return
        try:
            with self.path.open("a", newline="") as file:
                self._write(file, [row], columns)
        except OSError:  # the disk may have taken a part of the row
            with contextlib.suppress(OSError):
                os.truncate(self.path, before)
            raise

    def start_again(self, history: Sequence[Mapping[str, float]]) -> None:
        """Write the file anew with the epochs that a checkpoint has behind it."""
        text = io.StringIO()
        columns = list(dict.fromkeys([*COLUMNS, *(key for row in history for key in row)]))
        csv.writer(text, lineterminator="\n").writerow(columns)
        self._write(text, history, columns)
        write_whole(self.path, text.getvalue().encode())

    @staticmethod
    def _write(file: TextIO, rows: Sequence[Mapping[str, float]], columns: Sequence[str]) -> None:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        for row in rows:
            cells = {key: f"{value:.7g}" for key, value in row.items()}
            writer.writerow({**cells, "epoch": int(row["epoch"])})


class TerminalLogger(_EpochLogger):
    """One line an epoch, of at most 80 characters, which stays readable in a log file."""

    def __init__(self, epochs: int | None) -> None:
        super().__init__()
        self.epochs = epochs

    def log_epoch(self, epoch: int, row: Mapping[str, float]) -> None:
        """Print the epoch's line."""
        log.info("%s", epoch_line(epoch, self.epochs, row))


def epoch_line(epoch: int, epochs: int | None, row: Mapping[str, float]) -> str:
    """Return an epoch's row as a line: loss and accuracy of training and validation, learning rate and seconds.

    An epoch without clean training numbers has the running ones in their place. ``epochs`` is how many there will
    be, None or -1 where nobody knows.
    """
    parts = [f"epoch {epoch}/{epochs}" if epochs and epochs > 0 else f"epoch {epoch}"]
    for part in ("train" if "train_loss" in row else "running", "val"):
        if f"{part}_loss" in row:
            parts.append(f"{part} {_short(row[f'{part}_loss'])} {row[f'{part}_accuracy']:7.2%}")
    seconds = row["seconds"]
    parts += [f"lr {row['learning_rate']:.3g}", f"{seconds:.1f} s" if seconds < 99.9 else f"{seconds:.0f} s"]
    line = "   ".join(parts)
    return line if len(line) <= WIDTH else " ".join(parts)


def _short(loss: float) -> str:
    return f"{loss:.4f}" if loss < 9.99 else f"{loss:6.4g}" if loss < 9999 else f"{loss:6.0e}"


def named(row: Mapping[str, float]) -> dict[str, float]:
    """Return an epoch's row under the names that it is shown by.

    ``train_loss`` is ``train/loss`` and ``val_accuracy`` is ``val/accuracy``; what else is in it was measured
    while training: ``train/learning_rate``. The epoch is left out: it is the x axis; and numbers of images, which
    are the same in each.
    """
    names = {}
    for key, value in row.items():
        part, _, rest = key.partition("_")
        if key != "epoch" and key not in IMAGES:
            names[f"{part}/{rest}" if part in ("train", "val") and rest else f"train/{key}"] = value
    return names


class TensorBoardLogger(Logger):
    """Training and validation as sibling runs with the same tags, so that they lie on one chart.

    ``<folder>/train`` and ``<folder>/val`` hold ``loss`` and ``accuracy`` (train also ``running_loss``,
    ``running_accuracy``, ``learning_rate`` and ``seconds``) and an epoch's further numbers; ``<folder>`` itself
    holds the generalization gap, the hyperparameters and the final numbers, which TensorBoard's HParams page puts
    in one table over all runs. All stand at their epoch, the final numbers at the last one.
    """

    name = None
    version = None

    def __init__(self, folder: str | Path) -> None:
        super().__init__()
        self.folder = Path(folder)
        self._writers: dict[str, SummaryWriter] = {}
        self._started = False

    @property
    def save_dir(self) -> str:
        """The folder of the event files."""
        return str(self.folder)

    def _writer(self, part: str) -> "SummaryWriter":
        if part not in self._writers:
            from torch.utils.tensorboard import SummaryWriter

            self._writers[part] = SummaryWriter(str(self.folder / part))
        return self._writers[part]

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Record the settings of the run; the first call counts, so that Lightning's own doesn't add to it."""
        if self._started:
            return
        self._started = True
        # torch's add_hparams would open a run of its own for them, and name the metrics before they are known
        from tensorboard.compat.proto.summary_pb2 import Summary
        from tensorboard.plugins.hparams import metadata, plugin_data_pb2

        start = plugin_data_pb2.SessionStartInfo()
        for key, value in flatten(params).items():
            if isinstance(value, bool):
                start.hparams[key].bool_value = value
            elif isinstance(value, (int, float)):
                start.hparams[key].number_value = value
            else:
                start.hparams[key].string_value = str(value)
        data = plugin_data_pb2.HParamsPluginData(session_start_info=start)
        tag, about = metadata.SESSION_START_INFO_TAG, metadata.create_summary_metadata(data)
        summary = Summary(value=[Summary.Value(tag=tag, metadata=about, tensor=metadata.NULL_TENSOR)])
        self._writer("")._get_file_writer().add_summary(summary)
        self.save()

    def start_again(self, history: Sequence[Mapping[str, float]]) -> None:
        """Write the files anew with the epochs that a checkpoint has behind it, before anything is logged."""
        self.close()
        for file in self.folder.rglob("events.out.tfevents.*"):
            file.unlink()
        for row in history:
            self.log_epoch(int(row["epoch"]), row)

    def log_epoch(self, epoch: int, row: Mapping[str, float]) -> None:
        """Write an epoch's numbers to the two runs, and the gap between them to the folder's own."""
        if "train_accuracy" in row and "val_accuracy" in row:
            self._writer("").add_scalar("generalization_gap", row["train_accuracy"] - row["val_accuracy"], epoch)
        for name, value in named(row).items():
            part, _, tag = name.partition("/")
            self._writer(part).add_scalar(tag, value, epoch)
        self.save()

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Write numbers that aren't an epoch's to the folder's own run."""
        for name, value in metrics.items():
            self._writer("").add_scalar(name, value, step)
        self.save()

    def log_settings(self, text: str) -> None:
        """Show all settings, given as YAML, in the Text tab."""
        self._writer("").add_text("settings", f"```yaml\n{text}```")

    def log_png(self, tag: str, png: bytes, step: int) -> None:
        """Show an image, given as a PNG file's bytes, beside the run."""
        # torch's add_figure would draw the figure a second time, and encode it anew
        from tensorboard.compat.proto.summary_pb2 import Summary

        # the header of every PNG: width and height, big-endian, from byte 16 on
        width, height = struct.unpack(">II", png[16:24])
        image = Summary.Image(width=width, height=height, colorspace=4, encoded_image_string=png)
        summary = Summary(value=[Summary.Value(tag=tag, image=image)])
        self._writer("")._get_file_writer().add_summary(summary, step)

    def save(self) -> None:
        """Let a running TensorBoard see what was written."""
        for writer in self._writers.values():
            writer.flush()

    def close(self) -> None:
        """End the files; Lightning's ``finalize`` comes after fit and again after test, so it doesn't."""
        for writer in self._writers.values():
            writer.close()
        self._writers.clear()


def flatten(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return nested settings as one dict with dotted keys, without config machinery (keys with a leading _)."""
    return {
        key: value
        for key, value in leaves(settings)
        if value is not None and not isinstance(value, Mapping) and not key.rpartition(".")[2].startswith("_")
    }
