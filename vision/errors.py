"""The two errors that users see."""

_LONGEST = 1200  # characters of a message


class DactylError(Exception):
    """A fault that the user can mend: bad input, a missing file, a missing system library.

    The message is one line that names the file, key, shard or sample and says what to do. The command line prints it
    to standard error without a traceback and exits with status 1.
    """

    def __init__(self, message: str) -> None:
        text = " ".join(str(message).split())
        if len(text) > _LONGEST:  # it quotes a file that is not what it should be
            text = f"{text[: _LONGEST * 2 // 3]} ... {text[-_LONGEST // 3 :]}"
        super().__init__(text)


class UsageError(Exception):
    """A command line or configuration that cannot be used, in one line. The command exits with status 2."""
