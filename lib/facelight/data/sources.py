"""Where data sets and caches lie on disk; fetching, verifying and unpacking them. No decoding of images here."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import stat
import tarfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from facelight import _files, _locks
from facelight.data._download import Resume


class DataError(ValueError):
    """A data set, or a file of one, is missing, incomplete or not what it should be."""


@dataclass(frozen=True)
class Report:
    """What a look at a data set on disk found.

    Args:
        name: the data set, as in `facelight data verify <name>`.
        root: the directory looked at.
        count: images that can be read; expected: images of the complete set.
        per_subject: images that can be read, for each subject (or part of the set).
        missing, damaged, ignored: names of files.
        differing: subjects (or files, or parts) that are complete but not the published bytes, or not as many.
        sha256: hash of all images that can be read, `sha256_of`.
        unit: what is counted.
        note: what else there is to say; empty: nothing.
    """

    name: str
    root: Path
    count: int
    expected: int
    per_subject: Mapping[str, int]
    missing: tuple[str, ...]
    damaged: tuple[str, ...]
    ignored: tuple[str, ...]
    differing: tuple[str, ...]
    sha256: str
    unit: str = "images"
    note: str = ""

    @property
    def complete(self) -> bool:
        """Every image is there, readable, and has the published bytes."""
        return not (self.missing or self.damaged or self.differing)

    def __str__(self) -> str:
        lines = [f"{self.name}: {self.count} of {self.expected} {self.unit}, sha256 {self.sha256[:16]}, {self.root}"]
        for what in ("missing", "damaged", "differing"):
            if names := getattr(self, what):
                lines.append(f"  {what} ({len(names)}): {_first(names)}")
        if self.note:
            lines.append(f"  {self.note}")
        lines.append("  complete" if self.complete else f"  NOT complete: see book/data/{self.name}.md")
        return "\n".join(lines)

    def require_complete(self) -> None:
        """Raise `DataError` that names what is wrong, the data card and the command, unless the set is complete."""
        if not self.complete:
            raise DataError(
                f"{self}\nobtain the files again as the data card book/data/{self.name}.md says, then run "
                f"`facelight data verify {self.name}`; to use what is there, load with partial=True"
            )


def _first(names: tuple[str, ...], n: int = 6) -> str:
    return ", ".join(names[:n]) + (f" and {len(names) - n} more" if len(names) > n else "")


def cache_root() -> Path:
    """Directory for what can be made again: `FACELIGHT_CACHE`, else the user cache directory.

    Raises:
        FileNotFoundError: there is no home directory, as in a container that runs under a bare number.
    """
    if chosen := os.environ.get("FACELIGHT_CACHE"):
        return _files.expanded(chosen, "FACELIGHT_CACHE")
    if (folder := _files.user_cache("facelight")) is not None:
        return folder
    raise FileNotFoundError(
        "this user has no home directory: set FACELIGHT_CACHE to a directory for what is made and fetched, and "
        "FACELIGHT_DATA to that of the data sets"
    )


def data_root(root: str | os.PathLike[str] | None = None) -> Path:
    """Directory that holds the data sets: `root`, else `FACELIGHT_DATA`, else `data` in the cache directory."""
    if root:
        return _files.expanded(root, "root")
    chosen = os.environ.get("FACELIGHT_DATA")
    return _files.expanded(chosen, "FACELIGHT_DATA") if chosen else cache_root() / "data"


def require_directory(path: Path, name: str) -> None:
    """Raise `DataError` that says how to obtain the data set unless `path` is a directory."""
    if not path.is_dir():
        raise DataError(
            f"{name}: expected the data set in {path}, which is not a directory: follow the data card "
            f"book/data/{name}.md, set FACELIGHT_DATA to the directory that holds {path.name}, "
            f"and run `facelight data verify {name}`"
        )


def sha256_of(files: Mapping[str, bytes | Path]) -> str:
    """SHA-256 of named files: of the sorted lines `<sha256 of the contents>  <name>`, whatever their order.

    Args:
        files: name, with / between directories, to contents or to the path of the file.

    >>> sha256_of({"b": b"2", "a": b"1"}) == sha256_of({"a": b"1", "b": b"2"}) != sha256_of({"a": b"2", "b": b"1"})
    True
    """
    lines = []
    for name, content in files.items():
        digest = hashlib.sha256(content).hexdigest() if isinstance(content, bytes) else _file_sha256(content)
        lines.append(f"{digest}  {name}\n")
    text = "".join(sorted(lines, key=lambda line: line[66:]))
    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()  # names need not be UTF-8


def fetch(
    url: str,
    sha256: str | None = None,
    *,
    directory: str | os.PathLike[str] | None = None,
    name: str | None = None,
    dataset: str = "<name>",
    archive: bool = False,
    timeout: float = 30.0,
) -> Path:
    """Download a file once; later calls check the copy and return its path.

    An interrupted download continues where it stopped when the server allows it. The file appears under its name only
    when it is complete and its hash is right. Where no hash is published, that of the first download is kept in
    `sha256.json` beside the file and required from then on.

    Args:
        url: http or https address.
        sha256: published hash, 64 hexadecimal digits.
        directory: where to keep the file; default: `downloads` in the cache directory.
        name: file name; default: the last part of the address.
        dataset: name of the data card that an error points to.
        archive: refuse what is neither zip nor tar, such as the page of a file-sharing service that is over its quota.
        timeout: seconds without an answer.

    Raises:
        DataError: the server does not answer, or the file is not the expected one.
    """
    import pooch
    import requests

    folder = _files.expanded(directory, "directory") if directory is not None else cache_root() / "downloads"
    folder.mkdir(parents=True, exist_ok=True)
    name = name or url.split("?")[0].rstrip("/").rsplit("/", 1)[-1]
    advice = f"see the data card book/data/{dataset}.md, then `facelight data verify {dataset}`"
    elsewhere = "keep the files in a directory on another disk (FACELIGHT_CACHE)"
    with _locks.locked(folder / f"{name}.lock", elsewhere):
        known = sha256 or _recorded(folder).get(url)
        try:
            path = Path(pooch.retrieve(url, known, name, folder, downloader=Resume(folder / f"{name}.part", timeout)))
        except requests.RequestException as error:
            raise DataError(
                f"{url}: download failed ({error}): try again, it continues where it stopped; {advice}"
            ) from error
        except ValueError as error:
            raise DataError(f"{url}: not the expected file, sha256 {known} wanted ({error}): {advice}") from error
        if archive and not (zipfile.is_zipfile(path) or tarfile.is_tarfile(path)):
            path.unlink()
            raise DataError(f"{url}: expected a zip or tar archive, got something else: try again later, or {advice}")
        if known is None:
            with _locks.locked(folder / "sha256.json.lock", elsewhere):
                _record(folder, url, _file_sha256(path))
    return path


def _file_sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _recorded(folder: Path) -> dict[str, str]:
    path = folder / "sha256.json"
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else {}


def _record(folder: Path, url: str, digest: str) -> None:
    text = json.dumps(_recorded(folder) | {url: digest}, indent=1, sort_keys=True)
    with _files.whole(folder / "sha256.json") as stream:
        stream.write(text.encode())


def extract(archive: str | os.PathLike[str], directory: str | os.PathLike[str], *, max_bytes: int = 20 * 10**9) -> Path:
    """Unpack a zip or tar archive into a new directory, which appears only when everything is unpacked.

    Args:
        archive: the file; its contents decide what it is, not its name.
        directory: must not exist yet.
        max_bytes: limit of the unpacked size.

    Raises:
        DataError: not an archive, an absolute path, a path or link out of the directory, a device, or too large.
        FileExistsError: the directory is already there.
    """
    archive, directory = _files.expanded(archive, "archive"), _files.expanded(directory, "directory")
    if directory.exists():
        raise FileExistsError(f"{directory} exists: remove it to unpack {archive.name} again")
    directory.parent.mkdir(parents=True, exist_ok=True)
    scratch = _files.new_folder(directory.parent, f".{directory.name}-")
    try:
        if zipfile.is_zipfile(archive):
            _unzip(archive, scratch, max_bytes)
        elif tarfile.is_tarfile(archive):
            _untar(archive, scratch, max_bytes)
        else:
            raise DataError(f"{archive}: expected a zip or tar archive, got something else: download it again")
        scratch.replace(directory)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return directory


def _check_size(archive: Path, size: int, max_bytes: int) -> None:
    if size > max_bytes:
        raise DataError(f"{archive}: unpacks to {size} bytes, more than max_bytes={max_bytes}: refused")


def _unzip(archive: Path, target: Path, max_bytes: int) -> None:
    with zipfile.ZipFile(archive) as source:
        members = source.infolist()
        _check_size(archive, sum(m.file_size for m in members), max_bytes)
        for member in members:
            inside = (target / member.filename).resolve().is_relative_to(target.resolve())
            if not inside or Path(member.filename).is_absolute() or stat.S_ISLNK(member.external_attr >> 16):
                raise DataError(f"{archive}: {member.filename!r} is a link or leads out of the archive: refused")
        source.extractall(target)


def _untar(archive: Path, target: Path, max_bytes: int) -> None:
    with tarfile.open(archive) as source:
        members = source.getmembers()
        _check_size(archive, sum(m.size for m in members), max_bytes)
        try:
            for member in members:
                if Path(member.name).is_absolute():
                    raise tarfile.AbsolutePathError(member)
            source.extractall(target, filter=_without_mode)
        except tarfile.FilterError as error:
            raise DataError(f"{archive}: {error}: refused") from error


def _without_mode(member: tarfile.TarInfo, target: str) -> tarfile.TarInfo:
    """Refuse what leads out of the target; leave permissions to the umask, as for the members of a zip archive."""
    return tarfile.data_filter(member, target).replace(mode=None, deep=False)  # type: ignore[arg-type]
