"""A download that continues where it stopped. What is fetched, and whether it is right, is said in `sources`."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Any


class Resume:
    """A downloader for pooch that keeps an interrupted file and asks the server for the rest of the same version."""

    def __init__(self, part: Path, timeout: float) -> None:
        self.part, self.tag, self.timeout = part, part.with_name(part.name + ".tag"), timeout

    def __call__(self, url: str, output_file: str | IO[bytes], pooch: Any) -> None:
        import requests

        have = self.part.stat().st_size if self.part.exists() and self.tag.exists() else 0
        headers = {"Range": f"bytes={have}-", "If-Range": self.tag.read_text(encoding="utf-8")} if have else {}
        headers["Accept-Encoding"] = "identity"
        with requests.get(url, headers=headers, stream=True, timeout=self.timeout) as answer:
            if answer.status_code == 416:  # nothing left to send, or the file changed: start again
                self.tag.unlink()
                return self(url, output_file, pooch)
            answer.raise_for_status()
            resumed = answer.status_code == 206
            if not resumed:
                self.tag.unlink(missing_ok=True)
                if tag := answer.headers.get("ETag") or answer.headers.get("Last-Modified"):
                    self.tag.write_text(tag, encoding="utf-8")
            length = int(answer.headers.get("Content-Length", -1))
            self._write(answer.iter_content(1 << 16), have * resumed, length)
        expected = have * resumed + length
        if length >= 0 and self.part.stat().st_size != expected:
            raise requests.ConnectionError(f"{self.part.stat().st_size} of {expected} bytes arrived")
        shutil.move(self.part, str(output_file))
        self.tag.unlink(missing_ok=True)

    def _write(self, blocks: Iterable[bytes], have: int, length: int) -> None:
        """Add blocks to what is there; a bar appears after two seconds, on a terminal or in a notebook only."""
        from tqdm import tqdm

        total = have + length if length >= 0 else None
        bar = tqdm(None, self.part.stem, total, initial=have, unit="B", unit_scale=True, delay=2, disable=None)
        with bar, self.part.open("ab" if have else "wb") as stream:
            for block in blocks:
                bar.update(stream.write(block))
