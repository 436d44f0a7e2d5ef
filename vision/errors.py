"""The one error that users see."""


class DactylError(Exception):
    """A fault that the user can mend: bad input, a missing file, a missing system library.

    The message is one line that names the file, key, shard or sample and says what to do. The command line prints it
    to standard error without a traceback and exits with status 1.
    """

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(str(message).split()))
