"""MLflow."""

import contextlib
import io
import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from filelock import FileLock
from lightning.pytorch import loggers
from lightning.pytorch.loggers.logger import rank_zero_experiment
from lightning.pytorch.utilities.rank_zero import rank_zero_only
from mlflow.exceptions import MlflowException
from PIL import Image

from cnnexp.errors import CnnexpError, first_line
from cnnexp.training.loggers import Status, flatten
from cnnexp.training.tracker import PROJECT, Tracker, name_and_group

log = logging.getLogger(__name__)

_SQLITE = "sqlite:///"
_STATUS = {"completed": "FINISHED", "interrupted": "KILLED", "failed": "FAILED"}


class MLFlowLogger(Tracker, loggers.MLFlowLogger):
    """Lightning's, with TensorBoard's names, and a run that ends with ours and is gone on with by its id.

    Args:
        folder: of the tracker in the run's folder; it holds the MLflow run's id.
        tracking_uri: the store of all runs: a server's address, or a file, such as ``sqlite:///outputs/mlflow.db``.
            Beside a file lies ``mlartifacts/`` with the runs' images and settings.
        experiment_name: MLflow's name for a set of runs.
        run_name: of the run; its folder's unless given.
        tags: further tags. The sweep's name is the tag ``sweep``, the run's folder the tag ``folder``.
        **others: Lightning's further arguments.
    """

    def __init__(
        self,
        folder: str | Path,
        tracking_uri: str,
        experiment_name: str = PROJECT,
        run_name: str | None = None,
        tags: dict[str, Any] | None = None,
        **others: Any,
    ) -> None:
        self.folder = Path(folder)
        title, sweep = name_and_group(self.folder.parent)
        opened: contextlib.AbstractContextManager = contextlib.nullcontext()
        tags = {"folder": str(self.folder.parent), **({"sweep": sweep} if sweep else {}), **(tags or {})}
        if tracking_uri.startswith(_SQLITE):
            # what stays on this machine has nothing to report to anybody
            os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
            file = Path(tracking_uri.removeprefix(_SQLITE))
            file.parent.mkdir(parents=True, exist_ok=True)
            # jobs that start together would make its tables at once, which MLflow fails at
            opened = FileLock(file.with_name(f".{file.name}.lock"))
            others.setdefault("artifact_location", str(file.absolute().with_name("mlartifacts")))
        logging.getLogger("mlflow").setLevel(logging.WARNING)  # that it makes its tables
        try:
            with opened:
                super().__init__(
                    experiment_name, run_name=run_name or title, tracking_uri=tracking_uri, tags=tags,
                    run_id=self.recorded_id, **others,
                )  # fmt: skip
        except Exception as error:  # SQLAlchemy's, or MLflow's own: the store isn't one, or is newer
            raise CnnexpError(f"logger=mlflow: {tracking_uri} can't be opened: {first_line(error)}") from error

    @property
    @rank_zero_experiment
    def experiment(self) -> Any:
        """MLflow's client, with the run begun at its first use."""
        if not self._initialized:
            try:
                self._prepare()
                super().experiment  # noqa: B018  (begins the run)
            except MlflowException as error:
                raise CnnexpError(f"logger=mlflow: {self._tracking_uri}: {first_line(error)}") from error
            self._record_id(str(self._run_id))
        return self._mlflow_client

    def _prepare(self) -> None:
        client = self._mlflow_client
        if self._run_id is not None:
            try:
                client.get_run(self._run_id)
                return
            except MlflowException as error:
                if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                    raise
            log.warning("MLflow run %s isn't in %s: a new run begins", self._run_id, self._tracking_uri)
            self._run_id = None
        if client.get_experiment_by_name(self._experiment_name) is None:
            try:
                client.create_experiment(self._experiment_name, self._artifact_location)
            except MlflowException:  # another job that starts with this one was quicker, or else it is no use
                if client.get_experiment_by_name(self._experiment_name) is None:
                    raise

    @rank_zero_only
    def start_again(self, history: Sequence[Mapping[str, float]]) -> None:
        """Go on with the recorded run; a new one begins where there is none, with the epochs behind it."""
        before = self._run_id
        client = self.experiment
        if self._run_id == before:
            client.update_run(self._run_id, status="RUNNING")
            return
        for row in history:
            self.log_metrics(row, int(row["epoch"]))

    @rank_zero_only
    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Record the settings of the run; what a resume changes is a tag, because MLflow keeps parameters."""
        settings = {key: str(value) for key, value in flatten(params).items()}
        known = self.experiment.get_run(self._run_id).data.params
        changed = {key for key in known.keys() & settings if known[key] != settings[key][: len(known[key])]}
        for key in sorted(changed):
            self._mlflow_client.set_tag(str(self._run_id), f"resumed.{key}", settings[key])
        super().log_hyperparams({key: value for key, value in settings.items() if key not in known})

    @rank_zero_only
    def log_settings(self, text: str) -> None:
        """Add all settings, given as YAML, to the run's artifacts."""
        self.experiment.log_text(self._run_id, text, "settings.yaml")

    @rank_zero_only
    def log_png(self, tag: str, image: bytes, step: int) -> None:
        """Add an image, given as a PNG file's bytes, to the run's artifacts."""
        self.experiment.log_image(self._run_id, Image.open(io.BytesIO(image)), f"{tag}.png")

    def close(self, status: Status = "completed") -> None:
        """End the run, and say where it is to be seen."""
        if not self._initialized:
            return
        loggers.MLFlowLogger.finalize(self, _STATUS[status])
        if self._tracking_uri.startswith(_SQLITE):
            log.info("MLflow: mlflow ui --backend-store-uri %s", self._tracking_uri)
