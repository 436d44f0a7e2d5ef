"""``dactyl``: dispatches to the stages and turns their errors into one line.

A stage is imported only when its command runs, so that help and mistyped commands answer at once, and a signal that
arrives during long imports is handled like at any other time.
"""

from __future__ import annotations

import errno
import os
import signal
import sys
from collections.abc import Iterable, Sequence

from dactyl import __version__
from dactyl.commands import COMMANDS
from dactyl.signals import Terminated, received, signals_raise
from dactyl.standard_streams import Output, OutputError, open_standard_streams, print_no_more
from vision.errors import DactylError, UsageError, is_disk_full, memory_fault, printable, with_causes
from vision.machine.extras import missing_extra
from vision.machine.hardware import usable_cores

_USAGE = """usage: dactyl COMMAND [--config FILE] [--key value ...]

Learn an object's pose in a robot hand from several cameras, trained on synthetic images only.

commands:
{commands}

dactyl COMMAND --help lists a command's options with examples; where one is a group of its own,
  --GROUP.help lists what is in it (dactyl train --data.online.help);
dactyl COMMAND ... --print_config shows the resulting configuration;
dactyl --version prints the version.
"""

_GROUP_USAGE = """usage: dactyl {group} COMMAND [--config FILE] [--key value ...]

commands:
{commands}

dactyl {group} COMMAND --help lists a command's options with examples.
"""

_GRAPHICS_PLATFORMS = (
    *("", "egl", "osmesa", "glfw", "glx"),
    *("enable", "enabled", "on", "true", "1", "disable", "disabled", "off", "false", "0"),
)
"""Values of MUJOCO_GL with which MuJoCo can be imported, in lower case."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command, and return its exit status.

    0 done, 1 a fault that the user can fix, 2 wrong usage, 130 interrupted, 141 the reader of the output is gone, 143
    terminated.
    """
    open_standard_streams()
    before = sys.stdout
    sys.stdout = Output(before)
    try:
        status = _main(list(sys.argv[1:] if argv is None else argv))
        sys.stdout.flush()
        return status
    except OutputError as error:
        print_no_more()
        if error.errno == errno.EPIPE:  # the reader of our output, such as a pager or head, is gone
            return 141
        return _fail(f"dactyl: {error}; is the disk full that the output goes to?", 1)
    finally:
        sys.stdout = before


def _main(arguments: list[str]) -> int:
    if not arguments or arguments[0] in ("-h", "--help"):
        sys.stdout.write(_USAGE.format(commands=_listed(COMMANDS)))
        return 0 if arguments else 2
    if arguments[0] == "--version":
        sys.stdout.write(f"dactyl-vision {__version__}\n")
        return 0
    if arguments[1:2] in (["-h"], ["--help"]) and (names := _group(arguments[0])):
        sys.stdout.write(_GROUP_USAGE.format(group=arguments[0], commands=_listed(names)))
        return 0
    try:
        name, _ = _split(arguments)
    except UsageError as error:
        return _fail(str(error), 2)
    try:
        with signals_raise():
            _refuse_odd_environment(arguments)
            _limit_threads()
            run(arguments)
    except UsageError as error:
        return _fail(str(error), 2)
    except (KeyboardInterrupt, Terminated):
        return _stopped(name)
    except SystemExit as stop:
        return stop.code or 0 if isinstance(stop.code, int | None) else _fail(f"dactyl {name}: {stop.code}", 1)
    except OutputError:
        raise
    except Exception as error:
        if received:
            # Either what was to be saved found no room, or native code turned our exception into an error of its own.
            return _stopped(name, str(error) if any(map(is_disk_full, with_causes(error))) else None)
        if (line := _explained(error)) is None:
            raise
        return _fail(f"dactyl {name}: {line}", 1)
    return 0


def _explained(error: Exception) -> str | None:
    """Return one line for a fault that the user can fix; None for a bug."""
    ours = isinstance(error, DactylError)
    # If memory ran out, the file or driver that the error names is not the cause.
    if reason := memory_fault(error.__cause__ or error.__context__ if ours else error):
        return f"out of memory ({reason}); raise the limit, or ask for less at once"
    if isinstance(error, ModuleNotFoundError):
        return missing_extra(error)
    if isinstance(error, OSError) and isinstance(error.filename, str | bytes):
        return f"{printable(os.fsdecode(error.filename))}: {error.strerror or error}"
    if is_disk_full(error):
        return f"{error.strerror}; make room and run the same command again"
    if isinstance(error, BrokenPipeError):
        return f"{error.strerror or 'broken pipe'}: whoever read what this command wrote into a pipe went away"
    return str(error) if ours else None


def _group(word: str) -> list[str]:
    """Return the commands of two words that begin with this one."""
    return [name for name in COMMANDS if name.startswith(f"{word} ")]


def _listed(names: Iterable[str]) -> str:
    return "\n".join(f"  {name:20}{COMMANDS[name].summary}" for name in names)


def _split(arguments: Sequence[str]) -> tuple[str, list[str]]:
    """Return the name of a command and its own arguments; raise UsageError if there is no such command."""
    for words in (1, 2):
        if (name := " ".join(arguments[:words])) in COMMANDS:
            return name, list(arguments[words:])
    first, second = arguments[0], f"'{arguments[1]}'" if arguments[1:] else "nothing"
    if names := [name.partition(" ")[2] for name in _group(first)]:
        one_of = "one of " if names[1:] else ""
        raise UsageError(f"dactyl {first}: expected {one_of}{', '.join(names)}, got {second}; --help explains them")
    raise UsageError(f"dactyl: unknown command '{first}'; choose one of {', '.join(COMMANDS)}")


def _stopped(name: str, unsaved: str | None = None) -> int:
    """Say that a signal ended a command, whose work since it saved last is lost if there is a reason why it is
    ``unsaved``; return its exit status."""
    what, status = ("terminated", 143) if signal.SIGTERM in received else ("interrupted", 130)
    again = "resumes" if COMMANDS[name].resumes else "begins again"
    if unsaved is not None:
        lost = f"{what}, and not saved: {unsaved}"
        return _fail(f"dactyl {name}: {lost}; the same command then {again} from what was saved before", 1)
    return _fail(f"dactyl {name}: {what}; the same command {again}", status)


def run(arguments: Sequence[str]) -> None:
    """Run one command by its arguments, and let its errors propagate."""
    name, rest = _split(arguments)
    COMMANDS[name].load()(rest)


def _refuse_odd_environment(arguments: Sequence[str]) -> None:
    """Refuse arguments and a graphics platform that would end in a traceback far from here."""
    for argument in arguments:
        try:
            argument.encode()
        except UnicodeEncodeError:  # manifests, configurations and reports hold paths, and are UTF-8
            shown = argument.encode("utf-8", "backslashreplace").decode()
            raise UsageError(f"dactyl {arguments[0]}: '{shown}' is not UTF-8; rename the file or folder") from None
    if (platform := os.environ.get("MUJOCO_GL", "")).strip().lower() not in _GRAPHICS_PLATFORMS:
        raise UsageError(
            f"dactyl {arguments[0]}: MUJOCO_GL={platform}: MuJoCo knows no such platform; unset it, or choose egl or "
            "osmesa"
        )


def _limit_threads() -> None:
    """Keep torch and NumPy from starting more threads than a container's quota allows; they only count cores.

    NumPy's matrices are small here, and OpenBLAS, which takes memory for each thread on import, ends the process where
    it gets none.
    """
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    if (cores := usable_cores()) < len(os.sched_getaffinity(0)):
        os.environ.setdefault("OMP_NUM_THREADS", str(cores))


def _fail(message: str, status: int) -> int:
    sys.stderr.write(message + "\n")
    return status
