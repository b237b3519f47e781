"""Files that appear in a folder whole or not at all.

They are written in a hidden folder beside where they belong, brought to the disk, and renamed. A process that is
killed leaves the old files as they were, and that hidden folder, which the next :func:`write` removes.
"""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from itertools import starmap
from pathlib import Path
from typing import IO

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

Writer = Callable[[IO[bytes]], object]

_PREFIX = ".lrcore-writing-"
_OLD = "old-"  # before the name of a file that is about to be replaced


def check(folder: Path, names: Iterable[str]) -> None:
    """Raise if :func:`write` could not put files of these names into ``folder``. Creates nothing.

    Raises
    ------
    NotADirectoryError
        ``folder``, or what its path leads through, exists and is no folder.
    IsADirectoryError
        One of the files would replace a folder.
    OSError
        Nothing can be written there.
    """
    with suppress(FileNotFoundError, NotADirectoryError):
        os.lstat(folder)
    nearest = next(path for path in (folder, *folder.absolute().parents) if os.path.lexists(path))
    if not nearest.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(nearest))
    longest = os.pathconf(nearest, "PC_NAME_MAX") if hasattr(os, "pathconf") else 255
    if any(len(os.fsencode(part)) > longest for part in folder.parts):
        raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG), str(folder))
    for name in names:
        _check_replaceable(folder / name)
    try:
        with tempfile.TemporaryFile(dir=nearest):
            pass
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(nearest)) from error


def write(folder: Path, contents: Mapping[str, Writer]) -> None:
    """Write files into a folder, which is made if there is none: all of them, or none.

    Where files of these names exist, they are replaced; a link is replaced, not what it leads to. If anything fails
    before all are in place, those that were there are there again. What a killed process has left is removed.

    Parameters
    ----------
    folder : Path
    contents : mapping of str to callable
        For each name, what writes the file's bytes into the binary file that it is given.

    Raises
    ------
    OSError
        It cannot be done, and nothing has changed.

    Notes
    -----
    No system renames two files as one. A process that is killed between two renames, which one call into compiled
    code does in some microseconds, leaves new files beside old ones, each whole.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _sweep(folder, contents)
    with _staging(folder) as staging:
        for name, writer in contents.items():
            with open(staging / name, "xb") as file:
                writer(file)
                file.flush()
                os.fsync(file.fileno())
        _sync(staging)
        _replace(staging, folder, list(contents))
    _sync(folder)
    _sync(folder.absolute().parent)


def _check_replaceable(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))


def _replace(staging: Path, folder: Path, names: list[str]) -> None:
    """Move files from one folder to the other; if one cannot be moved, put back what was there."""
    had = [name for name in names if os.path.lexists(folder / name)]
    for name in names:
        _check_replaceable(folder / name)
    for name in had:
        try:
            os.link(folder / name, staging / (_OLD + name), follow_symlinks=False)
        except OSError:  # the file system has no links
            shutil.copy2(folder / name, staging / (_OLD + name), follow_symlinks=False)
    try:
        _rename((staging / name, folder / name) for name in names)
    except BaseException:
        moved = [name for name in names if not os.path.lexists(staging / name)]
        for name in moved:
            if name not in had:
                os.unlink(folder / name)
        _rename((staging / (_OLD + name), folder / name) for name in moved if name in had)
        raise


def _rename(pairs: Iterable[tuple[Path, Path]]) -> None:
    """Rename each first to its second, in one call into compiled code, within which Python handles no signal."""
    deque(starmap(os.replace, list(pairs)), maxlen=0)


@contextmanager
def _staging(folder: Path) -> Iterator[Path]:
    """A new hidden folder, locked while this process lives, and removed at the end."""
    while True:
        made = Path(tempfile.mkdtemp(dir=folder, prefix=_PREFIX))
        lock = _lock(made)
        if lock is None or os.path.lexists(made):
            break
        os.close(lock)  # between its making and its locking it was taken for a leftover
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)
        if lock is not None:
            os.close(lock)


def _lock(folder: Path) -> int | None:
    """The descriptor that holds the lock of a folder; None if another process holds it, or there are no locks."""
    if fcntl is None:
        return None
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor


def _sweep(folder: Path, names: Iterable[str]) -> None:
    """Remove the hidden folders of killed processes: those that nobody has locked and that hold such files alone."""
    known = {prefix + name for name in names for prefix in ("", _OLD)}
    for path in folder.glob(_PREFIX + "*"):
        lock = _lock(path)
        if lock is None:
            continue
        with suppress(OSError):
            if known.issuperset(os.listdir(path)):
                shutil.rmtree(path, ignore_errors=True)
        os.close(lock)


def _sync(folder: Path) -> None:
    """Bring the names in a folder to the disk, where the system can."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
