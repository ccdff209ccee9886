"""The sweeper of ``-m``; it lies here because Hydra takes plugins from this namespace alone."""

from collections.abc import Sequence

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper


class CnnexpSweeper(BasicSweeper):
    """Hydra's basic sweeper, over jobs that were composed and checked before the sweep got its folder.

    Of a sweep that is resumed it runs what isn't complete. With ``settle=true`` it goes on with further seeds.
    """

    def is_done(self) -> bool:
        """Return whether there are no jobs left, nor further seeds that would settle anything."""
        from cnnexp.sweeps import sweep

        assert self.overrides is not None
        settling = None if sweep.current is None else sweep.current.settling
        if super().is_done() and settling is not None and (further := settling.next_jobs()):
            self.overrides = [*self.overrides, further]
        return super().is_done()

    def validate_batch_is_legal(self, batch: Sequence[Sequence[str]]) -> None:
        """Do nothing: the jobs were checked, and composing them again takes a tenth of a second each."""

    def get_job_batch(self) -> Sequence[Sequence[str]]:
        """Return the overrides of the next jobs."""
        from cnnexp.interrupts import let_through
        from cnnexp.sweeps.resume import left_to_do

        let_through()  # Hydra has written multirun.yaml, by which the sweep can be gone on with
        assert self.config is not None
        assert self.hydra_context is not None
        return left_to_do(super().get_job_batch(), self.config, self.hydra_context.config_loader)
