"""Output that any terminal takes, whatever its encoding."""

import codecs
import io
import os
import sys
import unicodedata

_LIKE_IT = {
    "×": "x", "·": "*", "−": "-", "–": "-", "—": "-", "─": "-", "│": "|", "±": "+-", "…": "...", "→": "->",
    "≥": ">=", "≤": "<=", "█": "#", "▏": "|", "’": "'", "“": '"', "”": '"', "ß": "ss",
}  # fmt: skip


def _like_it(error: UnicodeError) -> tuple[str, int]:
    """Write what an encoding lacks as it looks: its letter without the accent, an x for a ×, or else a ?."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lacking = error.object[error.start : error.end]
    return "".join(_ascii(character) for character in lacking), error.end


def _ascii(character: str) -> str:
    plain = unicodedata.normalize("NFKD", character).encode("ascii", "ignore").decode()
    return _LIKE_IT.get(character) or plain or "?"


def print_anywhere() -> None:
    """Let stdout and stderr take every character, here and in the processes that are started later."""
    codecs.register_error("cnnexp", _like_it)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors="cnnexp")
            # another process doesn't know our way yet as it opens its own
            os.environ["PYTHONIOENCODING"] = f"{stream.encoding}:replace"
