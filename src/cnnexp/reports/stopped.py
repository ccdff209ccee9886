"""What was stopped before its end, by halving: how much, after which epochs, and what that spared, in words."""

from collections import Counter

from cnnexp.reports.study import Study
from cnnexp.reports.swept import is_number


def stopped_early(study: Study) -> str | None:
    """Return how many configurations were stopped after which epoch, and the share of the epochs trained.

    None where none was. They are left out of all other sentences.
    """
    stopped = [configuration for configuration in study.configurations if configuration.stopped]
    if not stopped:
        return None
    after = Counter(configuration.stopped_after for configuration in stopped)
    where = ", ".join(f"{count} at epoch {epoch}" for epoch, count in sorted(after.items()))
    text = (
        f"Stopped early: {len(stopped)} of {len(study.configurations)} configurations ({where}); nothing is said "
        "of what they would have come to"
    )
    given = [run.record.settings.get("trainer.max_epochs") for run in study.runs]
    lengths = [int(length) for length in given if is_number(length) and length > 0]
    trained = sum(int(run.numbers["epochs"] or 0) for run in study.runs)
    if len(lengths) == len(given) and (whole := sum(lengths)) >= trained:
        text += f". {trained:,} of {whole:,} epochs were trained ({trained / whole:.0%})"
    return f"{text}."
