"""The files that a run writes: none of them may be one that it reads, nor may both be the same."""

from __future__ import annotations

import functools
import glob
import os
import secrets
import stat
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import BinaryIO

from instructor.cli.output_forms import is_output
from instructor.exceptions import ConfigurationError

_CACHE_FILES = ("answers.sqlite3", "answers.sqlite3-wal", "answers.sqlite3-shm", "answers.lock")


def resolve_output(name: str) -> Path:
    """Return the path of an output, with symbolic links resolved: the target is replaced, and the link stays.

    A pipe or a device, such as ``/dev/stdout``, keeps its name.
    """
    path = Path(name)
    return path if path.exists() and not path.is_file() else Path(os.path.realpath(path))


def name_part(path: Path) -> Path | None:
    """Name a file to hold an output until it is complete; None for a pipe or device, written directly.

    Each run has another name, so that two runs with the same output, or a file of the user's, come to no harm.
    """
    if path.exists() and not path.is_file():
        return None
    return path.with_name(f"{path.name}.{secrets.token_hex(4)}.part")


def open_part(path: Path) -> tuple[Path, BinaryIO] | None:
    """Open a file to hold an output until it is complete; None for a pipe or device, written directly.

    It is locked as long as its run lives, so that another run can tell whether it was left behind.
    """
    while (part := name_part(path)) is not None:
        stream = part.open("xb")
        # Another run may have taken the file for one that was left behind before it was locked, and removed it.
        if _lock(stream) and part.exists():
            return part, stream
        stream.close()
    return None


def clear_parts(path: Path, beginning: bytes) -> None:
    """Remove what earlier runs with the same output left behind when they were killed.

    Call it when the output is complete: until then, those files may hold answers that the cache didn't take.
    """
    for part in path.parent.glob(f"{glob.escape(path.name)}.{'[0-9a-f]' * 8}.part"):
        with suppress(OSError), part.open("rb") as stream:
            if part.is_file() and stream.read(len(beginning)) in (b"", beginning) and _lock(stream, if_possible=False):
                part.unlink()


def _lock(stream: BinaryIO, *, if_possible: bool = True) -> bool:
    """Lock a file for this run; say whether that worked. Where files can't be locked it is `if_possible`."""
    try:
        import fcntl
    except ImportError:  # pragma: no cover - Windows
        return if_possible
    try:
        fcntl.flock(stream.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        return if_possible
    return True


def check_output_paths(out: str, report: str | None, sources: Sequence[Path | None], cache: Path) -> None:
    """Check that a run overwrites no file that it reads, whatever name or link leads there.

    Call it when the response model has been imported, because Python files are read too, and the cache was opened.
    A source is None for standard input.
    """
    inputs = _identify_inputs(sources, cache)
    modules = functools.cache(_identify_modules)
    outputs: dict[str, Path | int] = {"--out -": 1} if out == "-" else {f"--out {out}": Path(out)}
    if report is not None:
        outputs[f"--report {report}"] = Path(report)
        if out != "-" and resolve_output(report) == resolve_output(out):
            raise ConfigurationError("--report would overwrite what --out writes. Name another file.")
    for option, path in outputs.items():
        if isinstance(path, Path) and resolve_output(str(path)) == resolve_output(str(cache)):  # neither may exist yet
            raise ConfigurationError(f"{option} would overwrite the cache. Name another file.")
        identity = _identify(path)
        what = identity and (inputs.get(identity) or (None if _is_own(path) else modules().get(identity)))
        if what is not None:
            raise ConfigurationError(f"{option} would overwrite {what}. Name another file.")


def _is_own(path: Path | int) -> bool:
    """Whether a file is an output, so that it need not be compared with a thousand Python files."""
    with suppress(OSError):  # which the run meets again, and reports
        return isinstance(path, Path) and is_output(path)
    return False


def _identify_inputs(sources: Sequence[Path | None], cache: Path) -> dict[tuple[int, int], str]:
    """Return what the run reads by device and inode, which are the same under every name of a file."""
    files = (cache, *(cache / name for name in _CACHE_FILES))
    read: list[tuple[str, Path | int]] = [(f"the cache, {file}", file) for file in files]
    read += [("the input itself", 0 if source is None else source) for source in sources]
    return {identity: what for what, path in read if (identity := _identify(path)) is not None}


def _identify_modules() -> dict[tuple[int, int], str]:
    """Return the Python files of this process, likewise."""
    # From the module's dict, because a module may compute attributes that it doesn't have.
    modules = [vars(module) for module in list(sys.modules.values()) if isinstance(module, ModuleType)]
    files = [members["__file__"] for members in modules if isinstance(members.get("__file__"), str)]
    return {identity: f"the Python file {file}" for file in files if (identity := _identify(file)) is not None}


def _identify(path: str | Path | int) -> tuple[int, int] | None:
    """Return the device and inode of a regular file, named or open as a descriptor; None for anything else."""
    try:
        status = os.stat(path)  # noqa: PTH116 - descriptors too
    except (OSError, ValueError):
        return None
    return (status.st_dev, status.st_ino) if stat.S_ISREG(status.st_mode) else None
