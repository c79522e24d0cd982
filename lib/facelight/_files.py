"""Files on machines that are shared: paths from outside, hidden files, lines of text, whole files, permissions."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO


def expanded(path: str | os.PathLike[str], what: str) -> Path:
    """A path from a variable, an option or an argument; `~` is the home directory, though no shell looked at it.

    Raises:
        FileNotFoundError: there is no such home directory; names `what`, where the path comes from.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise FileNotFoundError(
            f"{what}: expected a folder, got {str(path)!r}, but that home directory is not known: write the whole path"
        ) from error


def user_cache(program: str, author: str | None = None) -> Path | None:
    """The user's cache directory of a program; None where the user has no home directory."""
    import platformdirs

    with contextlib.suppress(RuntimeError):
        folder = Path(platformdirs.user_cache_dir(program, author))
        return folder if folder.is_absolute() else None
    return None


def visible(paths: Iterable[Path], top: Path) -> list[Path]:
    """The paths below `top` that are not hidden, sorted.

    Other programs leave hidden files beside the real ones: macOS `._name`, Jupyter `.ipynb_checkpoints/`.
    """
    return sorted(p for p in paths if not any(part.startswith(".") for part in p.relative_to(top).parts))


def in_any_case(path: Path) -> Path:
    """The file of that name; where there is none, one beside it whose name differs in upper and lower case only."""
    if path.exists() or not path.parent.is_dir():
        return path
    wanted = path.name.lower()
    return min((p for p in path.parent.iterdir() if p.name.lower() == wanted), default=path)


def bytes_of(path: Path) -> bytes:
    """The content of a file; nothing where it cannot be read, as when it belongs to another account."""
    try:
        return path.read_bytes()
    except OSError:
        return b""


def text_of(path: Path) -> str:
    r"""Text whose lines end in a line feed and that has no byte order mark, whichever system wrote it.

    Bytes that are not UTF-8 become question marks; lines that were converted twice (CR CR LF) are single ones again.

    Raises:
        ValueError: the text is UTF-16, as some Windows programs save it.
    """
    raw = path.read_bytes()
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise ValueError("this is UTF-16 text: save it again as UTF-8")
    text = raw.decode("utf-8-sig", errors="replace")
    return text.replace("\r\r\n", "\n").replace("\r\n", "\n").replace("\r", "\n")


@contextlib.contextmanager
def whole(path: Path, *, alone: bool = False) -> Iterator[IO[bytes]]:
    """A stream whose content appears under `path` when the block ends well: readers see the old file or the new one.

    The file has the permissions of any new file: the umask decides, so that a group can share it. With `alone`, which
    says that no other process writes this file, what a killed process left of it is written over.
    """
    part = path.with_name(f".{path.name if alone else secrets.token_hex(8)}.part")
    try:
        with part.open("wb" if alone else "xb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        part.replace(path)
    finally:
        with contextlib.suppress(OSError):
            part.unlink()  # what a full disk left


def new_folder(parent: Path, start: str) -> Path:
    """A new folder under a name nobody else has. The umask decides who may read it, unlike with `tempfile.mkdtemp`."""
    folder = parent / f"{start}{secrets.token_hex(8)}"
    folder.mkdir()
    return folder
