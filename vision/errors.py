"""The two errors that users see, and text that is safe to show them."""

import errno
import re

_MAX_MESSAGE = 300  # characters

_NO_MEMORY = (
    *("allocate memory", "not enough memory", "out of memory", "bad_alloc", "cannot map", "failed to map"),
    *("can't start new thread", "Failed to launch worker thread"),
    *("CUDA out of memory", "realloc of size", "malloc of size"),
    "error return without exception set",  # the interpreter itself, in an import
)
"""How libraries say that there is no memory: in the words of the C library, of torch, of the loader, of Arrow."""


class DactylError(Exception):
    """A fault that the user can mend: bad input, a missing file, a missing system library.

    The message is one line that names the file, key, shard or sample and says what to do. The command line prints it
    to standard error without a traceback and exits with status 1. It often quotes what others wrote, so it is made
    safe here, for every error: printable characters only, no more than a few lines of a terminal.
    """

    def __init__(self, message: str) -> None:
        super().__init__(shortened(printable(message), _MAX_MESSAGE))


class UsageError(Exception):
    """A command line or configuration that cannot be used, in one line. The command exits with status 2."""

    def __init__(self, message: str) -> None:
        super().__init__(printable(message))


def printable(text: object) -> str:
    """Text in one line, with everything that a terminal would not show (escape sequences, marks that turn the writing
    direction, halves of characters) written out, as ``\\x1b``."""
    line = " ".join(str(text).split())
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in line)


def shortened(text: str, length: int) -> str:
    """At most ``length`` characters of a text: its beginning, which names the file, and its end, which says what to do.

    The middle quotes a file that is not what it should be.
    """
    if len(text) <= length:
        return text
    head = length * 2 // 3
    return f"{text[:head]} ... {text[head + 5 - length :]}"


def decoding_reason(error: BaseException) -> str:
    """What msgspec says, with the key first: ``key 'shards[...].bytes': expected `int`, got `str```."""
    text = str(error).replace("Object missing required field", "missing key")
    text = text.replace("Object contains unknown field", "unknown key").replace("`", "'")
    text = re.sub(r" matching regex '.*?\\Z'", " of another form", text)
    what, _, key = text.partition(" - at '$")
    if isinstance(error, RecursionError):
        what = "nested too deep"
    place = key.rstrip("'").lstrip(".")
    return f"key '{place}': {what[:1].lower()}{what[1:]}" if place else f"{what[:1].lower()}{what[1:]}"


def memory_fault(error: BaseException | None) -> str | None:
    """What an error or those behind it say about memory that could not be had; None where that was not the fault."""
    while error is not None:
        text = printable(error)
        if isinstance(error, MemoryError) or getattr(error, "errno", None) == errno.ENOMEM:
            return shortened(text or "no more memory", 120)
        if any(sign in text for sign in _NO_MEMORY):
            return shortened(text, 120)
        error = error.__cause__ or error.__context__
    return None
