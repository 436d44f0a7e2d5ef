"""The two errors that users see, and functions that make text safe to show."""

import difflib
import errno
import re
from collections.abc import Iterable, Iterator
from typing import TypeGuard

_MAX_MESSAGE = 300  # characters
_MAX_CONFIG_MESSAGE = 600  # of a configuration's: it may list what is possible

_NO_MEMORY = (
    *("allocate memory", "not enough memory", "out of memory", "bad_alloc", "cannot map", "failed to map"),
    *("can't start new thread", "Failed to launch worker thread"),
    *("CUDA out of memory", "realloc of size", "malloc of size"),
    "error return without exception set",  # from the interpreter itself, in an import
)
"""Signs of an out-of-memory error in the messages of the C library, torch, the loader and Arrow."""


class DactylError(Exception):
    """A fault that the user can fix: bad input, a missing file, a missing system library.

    The message is one line that names the file, key, shard or sample and says what to do. The command line prints it to
    standard error without a traceback and exits with status 1. Messages often quote text from outside, so every one is
    made safe here: printable characters only, no more than a few lines of a terminal.
    """

    def __init__(self, message: str) -> None:
        super().__init__(shortened(printable(message), _MAX_MESSAGE))


class UsageError(Exception):
    """An invalid command line or configuration, described in one line. The command exits with status 2."""

    def __init__(self, message: str) -> None:
        super().__init__(printable(message))


def printable(text: object) -> str:
    """Return text as one line, with everything that a terminal would not show (escape sequences, marks that change the
    writing direction, halves of characters) escaped, as ``\\x1b``."""
    line = " ".join(str(text).split())
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in line)


def shortened(text: str, length: int) -> str:
    """Shorten a text to at most ``length`` characters: its beginning, which names the file, and its end, which says
    what to do.

    The part left out is usually quoted from a faulty file.
    """
    if len(text) <= length:
        return text
    head = length * 2 // 3
    return f"{text[:head]} ... {text[head + 5 - length :]}"


def decoding_reason(error: BaseException) -> str:
    """Return msgspec's message with the key first: ``key 'shards[...].bytes': expected `int`, got `str```."""
    text = str(error).replace("Object missing required field", "missing key")
    text = text.replace("Object contains unknown field", "unknown key").replace("`", "'")
    text = re.sub(r" matching regex '.*?\\Z'", " of another form", text)
    what, _, key = text.partition(" - at '$")
    if isinstance(error, RecursionError):
        what = "nested too deep"
    place = key.rstrip("'").lstrip(".")
    return f"key '{place}': {what[:1].lower()}{what[1:]}" if place else f"{what[:1].lower()}{what[1:]}"


def format_error(error: BaseException, keys: Iterable[str] = ()) -> str:
    """Format a configuration error in one line, with the nearest known key for an unknown one."""
    text = " ".join(str(error).split())
    text = re.sub(r"Parser key \"([\w.]+)\":", r"\1:", text)
    text = re.sub(r"<class '([\w.]+)'>", r"\1", text).replace("typing.", "")
    text = text.replace("Problems parsing config: ", "").replace(' in "<unicode string>",', " in")
    text = re.sub(r"unrecognized arguments: (?!-)(\S+).*", r"unexpected '\1'; values follow keys: --key value", text)
    text = re.sub(r"([\w.]+): Expected a dict\. Got value: ", r"\1: expected names, as in --\1.name value; got ", text)
    unknown = re.search(r"(?:Group '([\w.]+)' does not accept option|Option) '(.+?)'(?: is not accepted)?$", text)
    unknown = unknown or re.search(r"()unrecognized arguments: --([\w.]+)", text)
    if unknown:
        key = f"{unknown[1]}.{unknown[2]}" if unknown[1] else unknown[2]
        text = f"{text[: unknown.start()]}unknown key '{key}'"
        text += suggestion(key, keys) or "; --help lists the keys"
    return text if len(text) <= _MAX_CONFIG_MESSAGE else f"{text[:_MAX_CONFIG_MESSAGE]} ..."


def suggestion(word: str, known: Iterable[str]) -> str:
    """Return the known word that was probably meant, to stand after a message; nothing if none is near."""
    near = difflib.get_close_matches(word, list(known), n=1)
    return f"; did you mean '{near[0]}'?" if near else ""


def with_causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error, what caused it, what caused that, and so on."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def is_disk_full(error: BaseException) -> TypeGuard[OSError]:
    """Return whether the operating system says that a disk, or a user's part of it, is full."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


def memory_fault(error: BaseException | None) -> str | None:
    """Return the message about insufficient memory in an error or its causes; None if that was not the fault."""
    for each in with_causes(error):
        text = printable(each)
        if isinstance(each, MemoryError) or getattr(each, "errno", None) == errno.ENOMEM:
            return shortened(text or "no more memory", 120)
        if any(sign in text for sign in _NO_MEMORY):
            return shortened(text, 120)
    return None
