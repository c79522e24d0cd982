"""Fetching over a local server, safe unpacking, hashes of trees."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import io
import json
import os
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from facelight.data import sources
from facelight.data.sources import DataError, Report, extract, fetch, sha256_of

BODY = bytes(range(256)) * 4000


class Server(ThreadingHTTPServer):
    """Serves BODY; `cut` closes the connection after so many bytes, once."""

    body = BODY
    cut: int | None = None
    ranges: list[str | None]
    statuses: list[int]


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        if self.path == "/gone.zip":
            return self.send_error(404)
        tag = f'"{hashlib.sha256(self.server.body).hexdigest()[:8]}"'
        wanted = self.headers.get("Range")
        self.server.ranges.append(wanted)
        start = 0
        if wanted and self.headers.get("If-Range") == tag:
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
        self.server.statuses.append(206 if start else 200)
        self.send_response(206 if start else 200)
        self.send_header("ETag", tag)
        self.send_header("Content-Length", str(len(self.server.body) - start))
        self.end_headers()
        rest = self.server.body[start:]
        if self.server.cut is not None:
            rest, self.server.cut = rest[: self.server.cut], None
        self.wfile.write(rest)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server(("127.0.0.1", 0), Handler)
    server.ranges, server.statuses = [], []
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def url(server: Server, path: str = "data.bin") -> str:
    return f"http://127.0.0.1:{server.server_address[1]}/{path}"


def test_fetch_downloads_once_and_checks_the_hash(server: Server, tmp_path: Path) -> None:
    digest = hashlib.sha256(BODY).hexdigest()
    path = fetch(url(server), digest, directory=tmp_path)
    assert path == tmp_path / "data.bin"
    assert path.read_bytes() == BODY
    fetch(url(server), digest, directory=tmp_path)
    assert len(server.ranges) == 1
    assert {p.name for p in tmp_path.iterdir()} <= {"data.bin", "data.bin.lock"}


def test_fetch_continues_an_interrupted_download(server: Server, tmp_path: Path) -> None:
    server.cut = 600_000
    with pytest.raises(DataError, match=r"try again, it continues.*facelight data verify wflw"):
        fetch(url(server), directory=tmp_path, dataset="wflw")
    assert not (tmp_path / "data.bin").exists()
    have = (tmp_path / "data.bin.part").stat().st_size
    assert 500_000 < have <= 600_000
    assert fetch(url(server), directory=tmp_path).read_bytes() == BODY
    assert server.ranges == [None, f"bytes={have}-"]
    assert server.statuses == [200, 206]


def test_fetch_starts_again_when_the_file_changed_in_between(server: Server, tmp_path: Path) -> None:
    server.cut = 1000
    with pytest.raises(DataError):
        fetch(url(server), directory=tmp_path)
    server.body = BODY[::-1]
    assert fetch(url(server), directory=tmp_path).read_bytes() == BODY[::-1]
    assert server.statuses == [200, 200]


def test_fetch_records_the_first_hash_and_requires_it_from_then_on(server: Server, tmp_path: Path) -> None:
    path = fetch(url(server), directory=tmp_path)
    recorded = json.loads((tmp_path / "sha256.json").read_text())
    assert recorded == {url(server): hashlib.sha256(BODY).hexdigest()}
    path.unlink()
    server.body = b"something else"
    with pytest.raises(DataError, match=r"not the expected file.*book/data/yaleb\.md"):
        fetch(url(server), directory=tmp_path, dataset="yaleb")
    assert not path.exists()


def test_fetch_names_the_card_when_the_hash_or_the_server_is_wrong(server: Server, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"not the expected file.*facelight data verify pie"):
        fetch(url(server), "0" * 64, directory=tmp_path, dataset="pie")
    with pytest.raises(DataError, match="404"):
        fetch(url(server, "gone.zip"), directory=tmp_path)
    assert not list(tmp_path.glob("*.bin"))


def test_fetch_replaces_a_damaged_copy(server: Server, tmp_path: Path) -> None:
    (tmp_path / "data.bin").write_bytes(b"damaged")
    assert fetch(url(server), hashlib.sha256(BODY).hexdigest(), directory=tmp_path).read_bytes() == BODY


def test_fetch_goes_on_without_locks_and_follows_the_umask(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def flock(file: object, operation: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", flock)
    old = os.umask(0o002)
    try:
        with pytest.warns(UserWarning, match=r"no locks for us .*another disk \(FACELIGHT_CACHE\)"):
            path = fetch(url(server), directory=tmp_path / "shared")
    finally:
        os.umask(old)
    assert path.read_bytes() == BODY
    modes = {p.name: p.stat().st_mode & 0o777 for p in (path.parent, *path.parent.iterdir())}
    assert modes == {"shared": 0o775, "data.bin": 0o664, "sha256.json": 0o664}


def make_zip(path: Path, members: dict[str, bytes], link: str | None = None) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
        if link is not None:
            info = zipfile.ZipInfo("link")
            info.external_attr = 0o120777 << 16
            archive.writestr(info, link)
    return path


def make_tar(path: Path, members: dict[str, bytes], link: str | None = None) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
        if link is not None:
            info = tarfile.TarInfo("link")
            info.type, info.linkname = tarfile.SYMTYPE, link
            archive.addfile(info)
    return path


@pytest.mark.parametrize("make", [make_zip, make_tar])
def test_extract_unpacks_into_a_new_directory(make: object, tmp_path: Path) -> None:
    archive = make(tmp_path / "archive", {"a/b.txt": b"text", "c.txt": b""})  # type: ignore[operator]
    target = extract(archive, tmp_path / "out")
    assert (target / "a/b.txt").read_bytes() == b"text"
    assert (target / "c.txt").exists()
    with pytest.raises(FileExistsError, match="remove it"):
        extract(archive, target)


@pytest.mark.parametrize("make", [make_zip, make_tar])
@pytest.mark.parametrize(
    ("members", "link"), [({"../evil": b""}, None), ({"/tmp/evil": b""}, None), ({"a": b""}, "/etc/passwd")]
)
def test_extract_refuses_what_leads_out(make: object, members: dict[str, bytes], link: str, tmp_path: Path) -> None:
    archive = make(tmp_path / "archive", members, link)  # type: ignore[operator]
    with pytest.raises(DataError, match="refused"):
        extract(archive, tmp_path / "in" / "out")
    assert not list((tmp_path / "in").iterdir())
    assert not (tmp_path / "evil").exists()


@pytest.mark.parametrize("make", [make_zip, make_tar])
def test_extract_bounds_the_size(make: object, tmp_path: Path) -> None:
    archive = make(tmp_path / "archive", {"zeros": bytes(10**6)})  # type: ignore[operator]
    assert archive.stat().st_size < 10**6 or archive.suffix == ""
    with pytest.raises(DataError, match="1000000 bytes, more than max_bytes=999999"):
        extract(archive, tmp_path / "out", max_bytes=999_999)
    assert not (tmp_path / "out").exists()


def test_extract_names_what_is_not_an_archive(tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text("<html>quota exceeded</html>")
    with pytest.raises(DataError, match="expected a zip or tar archive"):
        extract(tmp_path / "page.html", tmp_path / "out")


@given(st.dictionaries(st.text("abc/", min_size=1), st.binary(max_size=9), max_size=5), st.randoms())
def test_hash_of_a_tree_ignores_the_order(files: dict[str, bytes], random: object) -> None:
    shuffled = list(files.items())
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert sha256_of(files) == sha256_of(dict(shuffled))


def test_hash_of_a_tree_by_hand(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"1")
    lines = f"{hashlib.sha256(b'1').hexdigest()}  a/x\n{hashlib.sha256(b'2').hexdigest()}  b\n"
    assert sha256_of({"b": b"2", "a/x": tmp_path / "x"}) == hashlib.sha256(lines.encode()).hexdigest()
    assert sha256_of({"b": b"1", "a/x": b"2"}) != sha256_of({"b": b"2", "a/x": b"1"})


def test_roots(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FACELIGHT_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("FACELIGHT_DATA", raising=False)
    assert sources.cache_root() == tmp_path / "cache"
    assert sources.data_root() == tmp_path / "cache" / "data"
    monkeypatch.setenv("FACELIGHT_DATA", str(tmp_path / "data"))
    assert sources.data_root() == tmp_path / "data"
    assert sources.data_root(tmp_path) == tmp_path


def test_report_says_what_is_wrong_and_what_to_do() -> None:
    good = Report("pie", Path("/d/PIE"), 2, 2, {}, (), (), (), (), "ab" * 32)
    good.require_complete()
    assert "2 of 2 images" in str(good)
    bad = Report("pie", Path("/d/PIE"), 1, 9, {}, tuple("abcdefgh"), ("i",), (), (), "ab" * 32)
    with pytest.raises(DataError, match=r"missing \(8\): a, b, c, d, e, f and 2 more\n  damaged \(1\): i") as error:
        bad.require_complete()
    assert "book/data/pie.md" in str(error.value)
    assert "`facelight data verify pie`" in str(error.value)
