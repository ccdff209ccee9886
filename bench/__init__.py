"""How fast cnnexp is beside the loops that people write by hand: ``python -m bench``."""
