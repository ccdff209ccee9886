"""How often something happened, with its uncertainty, as the benchmarks print it."""

from cnnexp.evaluation.intervals import wilson_interval


def share(count: int, of: int) -> str:
    """Return a share with its 95 % interval."""
    low, high = wilson_interval(count, of)
    return f"{count} of {of} ({count / max(of, 1):.1%}, 95 % interval {low:.1%} to {high:.1%})"
