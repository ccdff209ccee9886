"""submitit's launchers as a sweep of ours uses them; Hydra takes plugins from this namespace alone.

`cnnexp.sweeps.cluster` puts them in the place of the plugin's own.
"""

import contextlib

from cnnexp.sweeps.cluster import Elsewhere

with contextlib.suppress(ImportError):  # the plugin is an extra
    from hydra_plugins.hydra_submitit_launcher.submitit_launcher import LocalLauncher, SlurmLauncher

    class CnnexpLocalLauncher(Elsewhere, LocalLauncher):
        """Jobs as processes of this machine, all at once."""

    class CnnexpSlurmLauncher(Elsewhere, SlurmLauncher):
        """Jobs as an array of Slurm's."""
