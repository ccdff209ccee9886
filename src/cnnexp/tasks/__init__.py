"""One file for each thing a user can ask for with ``task=…``; its arguments are explained in ``conf/task/``."""
