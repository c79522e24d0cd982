"""WFLW: files in the official layout, made here, and the download from a local server."""

from __future__ import annotations

import io
import tarfile
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from facelight.data import wflw
from facelight.data.landmarks import mean_shape
from facelight.data.samples import WFLW_ATTRIBUTES, Annotations
from facelight.data.sources import DataError, sha256_of
from facelight_lab import command as cli

SIZES = {
    "FACES": {"train": 3, "test": 2},
    "SUBSETS": {n: (w, i % 2) for i, (n, (w, _)) in enumerate(wflw.SUBSETS.items())},
}
FLAGS = "0 1 0 1 0 1"


def shape(shift: float = 0.0) -> np.ndarray:
    """98 points around a face of 40 pixels; the corners of the inner lips coincide."""
    points = mean_shape("wflw98") * 20 + [40, 30] + shift
    points[88] = points[92]
    return points


def line(points: np.ndarray, picture: str, flags: str = "0 0 0 0 0 0", box: str = "10 11 70 71") -> str:
    return " ".join(f"{v:.6f}" for v in points.ravel()) + f" {box} {flags} {picture}\n"


def write_set(top: Path) -> None:
    """Five faces on three pictures."""
    for name, suffix in (("0--Parade/one.jpg", ".jpg"), ("0--Parade/two.jpg", ".jpg"), ("9--Press/three.jpg", ".png")):
        path = top / "WFLW_images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        noise = np.random.default_rng(len(name)).integers(0, 256, (200, 190, 3), np.uint8)
        path.write_bytes(cv2.imencode(suffix, noise)[1].tobytes())
    folder = top / "WFLW_annotations" / "list_98pt_rect_attr_train_test"
    folder.mkdir(parents=True)
    one, two, three = "0--Parade/one.jpg", "0--Parade/two.jpg", "9--Press/three.jpg"
    train = line(shape(), one) + line(shape(-35), one, "1 0 0 0 0 0", "-5 -5 35 35") + line(shape(3), two)
    (folder / "list_98pt_rect_attr_train.txt").write_text(train)
    (folder / "list_98pt_rect_attr_test.txt").write_text(line(shape(1), three, FLAGS) + line(shape(2), two))
    subsets = top / "WFLW_annotations" / "list_98pt_test"
    subsets.mkdir()
    (subsets / "list_98pt_test.txt").write_text("")
    for i, (word, _) in enumerate(wflw.SUBSETS.values()):
        text = " ".join(f"{v:.6f}" for v in shape(1).ravel()) + f" {three}\n"
        (subsets / f"list_98pt_test_{word}.txt").write_text(text * (i % 2))


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small set, and the sizes of a set of that size in place of the published ones."""
    write_set(tmp_path / "WFLW")
    for name, sizes in SIZES.items():
        monkeypatch.setattr(wflw, name, sizes)
    return tmp_path


def rewrite(tree: Path, split: str, number: int, text: str) -> None:
    path = wflw._list(tree / "WFLW", split)
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join([*lines[: number - 1], text, *lines[number:]]))


def test_published_sizes() -> None:
    assert wflw.FACES == {"train": 7500, "test": 2500}
    assert {name: size for name, (_, size) in wflw.SUBSETS.items()} == {
        **{"pose": 326, "expression": 314, "illumination": 698},
        **{"make-up": 206, "occlusion": 736, "blur": 773},
    }
    assert tuple(wflw.SUBSETS) == WFLW_ATTRIBUTES


def test_load(tree: Path) -> None:
    train = wflw.load("train", tree)
    assert isinstance(train, Annotations)
    assert train.landmarks.shape == (3, 98, 2)
    assert train.landmarks.dtype == train.box.dtype == torch.float32
    expected = np.stack([shape(), shape(-35), shape(3)])
    assert np.abs(train.landmarks.numpy() - expected).max() < 1e-5
    assert (train.landmarks[1] < 0).any()  # outside the picture
    assert torch.equal(train.landmarks[:, 88], train.landmarks[:, 92])  # coinciding
    assert train.box.tolist() == [[10, 11, 70, 71], [-5, -5, 35, 35], [10, 11, 70, 71]]
    assert train.path[0] == train.path[1] == tree / "WFLW/WFLW_images/0--Parade/one.jpg"
    assert train.name == tuple(f"0--Parade/{n}.jpg, train line {i}" for i, n in enumerate(["one", "one", "two"], 1))
    assert train.attributes.tolist() == [[False] * 6, [True] + [False] * 5, [False] * 6]
    test = wflw.load("test", tree)
    assert test.attributes[0].tolist() == [False, True, False, True, False, True]
    assert test.attributes.dtype == torch.bool
    top = tree / "WFLW"
    files = [wflw._list(top, "train"), *set(train.path)]
    assert train.sha256 == sha256_of({p.relative_to(top).as_posix(): p for p in files})
    assert len({train.sha256, test.sha256}) == 2
    with pytest.raises(ValueError, match="split: expected one of 'train', 'test', got 'val'"):
        wflw.load("val", tree)


def test_partial(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wflw, "FACES", {"train": 7500, "test": 2500})
    with pytest.raises(DataError, match=r"expected 2500 faces in the split 'test', got 2.*book/data/wflw.md"):
        wflw.load("test", tree)
    assert len(wflw.load("test", tree, partial=True)) == 2
    wflw._list(tree / "WFLW", "test").write_text("\n")
    with pytest.raises(DataError, match="expected 2500 faces in the split 'test', got 0"):
        wflw.load("test", tree, partial=True)


good = line(shape(), "0--Parade/one.jpg").split()


@pytest.mark.parametrize(
    ("tokens", "message"),
    [
        (good[:-1], "expected 207 values, got 206"),
        ([*good, "x"], "expected 207 values, got 208"),
        (["nan", *good[1:]], "expected finite numbers, got NaN or infinity"),
        ([*good[:199], "inf", *good[200:]], "expected finite numbers, got NaN or infinity"),
        (["1,5", *good[1:]], "could not convert string to float: '1,5'"),
        ([*good[:200], "2", *good[201:]], "expected six flags 0 or 1, got 2 0 0 0 0 0"),
    ],
)
def test_a_damaged_line_is_named(tree: Path, tokens: list[str], message: str) -> None:
    rewrite(tree, "train", 2, " ".join(tokens) + "\n")
    for partial in (False, True):
        with pytest.raises(DataError, match=f"list_98pt_rect_attr_train.txt, line 2: {message}") as error:
            wflw.load("train", tree, partial=partial)
    assert "`facelight data verify wflw`" in str(error.value)
    report = wflw.verify(tree)
    assert report.damaged == (f"list_98pt_rect_attr_train.txt, line 2: {message}",)
    assert report.count == 4
    assert len(wflw.load("test", tree)) == 2  # the other split is not touched


@pytest.mark.parametrize(
    "change",
    [
        lambda text: "\ufeff" + text,
        lambda text: text.replace("\n", "\r\n"),
        lambda text: text.replace("\n", "\r"),
        lambda text: text.replace("\n", "\r\r\n"),
        lambda text: text.replace("/", "\\"),  # as Windows separates folders
    ],
)
def test_a_list_from_another_system(tree: Path, change: Callable[[str], str]) -> None:
    before, path = wflw.load("train", tree), wflw._list(tree / "WFLW", "train")
    path.write_bytes(change(path.read_text()).encode())
    after = wflw.load("train", tree)
    assert (after.name, after.path) == (before.name, before.path)
    for name in ("landmarks", "box", "attributes"):
        assert torch.equal(getattr(after, name), getattr(before, name))
    assert wflw.verify(tree).complete


def test_a_blank_line_counts_as_a_line(tree: Path) -> None:
    path = wflw._list(tree / "WFLW", "test")
    path.write_text("\n" + path.read_text())
    assert wflw.load("test", tree).name == ("9--Press/three.jpg, test line 2", "0--Parade/two.jpg, test line 3")


def test_a_list_in_utf16_is_refused_with_its_line(tree: Path) -> None:
    path = wflw._list(tree / "WFLW", "test")
    path.write_bytes(path.read_text().encode("utf-16"))
    with pytest.raises(DataError, match=r"list_98pt_rect_attr_test.txt, line 1: this is UTF-16 text: save it again as"):
        wflw.load("test", tree)
    assert wflw.verify(tree).damaged == (f"{path.name}, line 1: this is UTF-16 text: save it again as UTF-8",)


def test_pictures_may_be_upper_case_and_have_hidden_neighbors(tree: Path) -> None:
    folder = tree / "WFLW/WFLW_images/0--Parade"
    (folder / "one.jpg").rename(folder / "ONE.JPG")
    (folder / "._two.jpg").write_bytes(b"\0\5\x16\7")
    faces = wflw.load("train", tree)
    assert faces.path == (folder / "ONE.JPG", folder / "ONE.JPG", folder / "two.jpg")
    assert faces.name[0] == "0--Parade/one.jpg, train line 1"
    assert wflw.verify(tree).complete


def test_missing_pictures_and_lists_are_named(tree: Path) -> None:
    picture = tree / "WFLW/WFLW_images/0--Parade/two.jpg"
    raw = picture.read_bytes()
    picture.write_bytes(raw[: len(raw) // 2])
    report = wflw.verify(tree)
    assert report.damaged == ("WFLW_images/0--Parade/two.jpg",)
    assert (report.count, report.per_subject["train"], report.per_subject["test"]) == (3, 2, 1)
    picture.unlink()
    for split in ("train", "test"):
        with pytest.raises(DataError, match=f"0--Parade/two.jpg is in the list of the split '{split}' but not there"):
            wflw.load(split, tree, partial=True)
    wflw._list(tree / "WFLW", "blur").unlink()
    wflw._list(tree / "WFLW", "test").unlink()
    report = wflw.verify(tree)
    assert report.missing == (
        "WFLW_annotations/list_98pt_rect_attr_train_test/list_98pt_rect_attr_test.txt",
        "WFLW_annotations/list_98pt_test/list_98pt_test_blur.txt",
        "WFLW_images/0--Parade/two.jpg",
    )
    with pytest.raises(DataError, match=r"list_98pt_rect_attr_test.txt: there is no such file"):
        wflw.load("test", tree)
    with pytest.raises(DataError, match=r"set FACELIGHT_DATA.*holds WFLW"):
        wflw.load("train", tree / "elsewhere")


def test_verify(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = wflw.verify(tree)
    assert report.complete
    assert (report.count, report.expected, report.unit) == (5, 5, "faces")
    assert report.per_subject == {"train": 3, "test": 2, **{n: i % 2 for i, n in enumerate(WFLW_ATTRIBUTES)}}
    assert cli.main(["data", "verify", "wflw", "--root", str(tree)]) == 0
    assert "3 pictures; no hash is published" in capsys.readouterr().out
    rewrite(tree, "test", 1, line(shape(1), "9--Press/three.jpg", "0 1 0 0 0 1"))
    wflw._list(tree / "WFLW", "blur").write_text("x\n\nx\n")
    rewrite(tree, "train", 3, "")
    again = wflw.verify(tree)
    assert set(again.differing) == {
        "list_98pt_rect_attr_train.txt: 2 of 3",
        "list_98pt_test_blur.txt: 2 of 1",
        "flag make-up of the test list: 0 of 1",
    }
    assert again.sha256 != report.sha256
    assert not again.complete


class Server(ThreadingHTTPServer):
    """Serves bodies by path, from the byte that is asked for; `cut` breaks off the next answer for a path."""

    bodies: dict[str, bytes]
    cut: dict[str, int]
    starts: list[tuple[str, int]]


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        name = self.path.partition("?")[0].strip("/")
        body = self.server.bodies[name]
        start = int((self.headers.get("Range") or "bytes=0-")[6:-1])
        self.server.starts.append((name, start))
        self.send_response(206 if start else 200)
        self.send_header("ETag", '"1"')
        self.send_header("Content-Length", str(len(body) - start))
        self.end_headers()
        self.wfile.write(body[start:][: self.server.cut.pop(name, None)])

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    server = Server(("127.0.0.1", 0), Handler)
    server.bodies, server.cut, server.starts = {}, {}, []
    address = f"http://127.0.0.1:{server.server_address[1]}"
    there = {"WFLW_annotations": f"{address}/lists.tar.gz", "WFLW_images": f"{address}/download?id=1&confirm=t"}
    monkeypatch.setattr(wflw, "ADDRESSES", there)
    monkeypatch.setenv("FACELIGHT_CACHE", str(tmp_path / "cache"))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def packed(top: Path, name: str) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        archive.add(top / name, name)
    return stream.getvalue()


def test_download_continues_unpacks_and_is_not_repeated(
    tree: Path, server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    lists, images = (packed(tree / "WFLW", name) for name in ("WFLW_annotations", "WFLW_images"))
    server.bodies, server.cut = {"lists.tar.gz": lists, "download": images}, {"download": 100_000}
    root = tree / "fresh"
    with pytest.raises(
        DataError, match=r"try again, it continues where it stopped; see the data card book/data/wflw.md"
    ):
        wflw.download(root)
    assert not (root / "WFLW/WFLW_images").exists()
    assert cli.main(["data", "download", "wflw", "--root", str(root)]) == 0
    assert str(root / "WFLW") in capsys.readouterr().out
    assert [name for name, _ in server.starts] == ["lists.tar.gz", "download", "download"]
    assert 0 < server.starts[2][1] <= 100_000
    assert wflw.verify(root).complete
    assert wflw.verify(root).sha256 == wflw.verify(tree).sha256
    assert sorted(path.name for path in (root / "WFLW").iterdir()) == ["WFLW_annotations", "WFLW_images"]
    wflw.download(root)
    assert len(server.starts) == 3


def test_a_page_instead_of_the_archive_is_refused_and_forgotten(tree: Path, server: Server) -> None:
    lists, images = (packed(tree / "WFLW", name) for name in ("WFLW_annotations", "WFLW_images"))
    server.bodies = {"lists.tar.gz": lists, "download": b"<html>quota exceeded</html>"}
    root = tree / "fresh"
    with pytest.raises(DataError, match=r"expected a zip or tar archive, got something else: try again later"):
        wflw.download(root)
    assert not (root / "WFLW/WFLW_images").exists()
    server.bodies["download"] = images
    assert wflw.verify(wflw.download(root).parent).complete


def test_the_recorded_hash_is_required(tree: Path, server: Server) -> None:
    lists, images = (packed(tree / "WFLW", name) for name in ("WFLW_annotations", "WFLW_images"))
    server.bodies = {"lists.tar.gz": lists, "download": images}
    wflw.download(tree / "fresh")
    for archive in (tree / "cache/downloads").glob("*.tar.gz"):
        archive.unlink()
    server.bodies["lists.tar.gz"] = images
    with pytest.raises(DataError, match="not the expected file"):
        wflw.download(tree / "other")


def test_an_unpacking_that_was_interrupted_is_done_again(tree: Path, server: Server) -> None:
    server.bodies = {
        name: packed(tree / "WFLW", folder)
        for name, folder in zip(("lists.tar.gz", "download"), ("WFLW_annotations", "WFLW_images"), strict=True)
    }
    (tree / "fresh/WFLW/.WFLW_images/half").mkdir(parents=True)
    assert wflw.verify(wflw.download(tree / "fresh").parent).complete
