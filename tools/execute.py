"""Execute every page of the book that has a kernel, as many at once as there are processors, for the book to be built.

The outputs go into the cache from which Jupyter Book takes them, see `execute_notebooks` in `_config.yml`. The cache
knows a page by its cells alone and would stay stale after a change of the library: it is emptied first.
"""

from __future__ import annotations

import logging
import shutil
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from jupyter_cache import get_cache
from jupyter_cache.cache.main import JupyterCacheBase
from jupyter_cache.executors import load_executor
from notebooks import KERNEL

from facelight import _machine
from facelight.enhance import prepare_histograms

ROOT = Path(__file__).resolve().parents[1]
CACHE = ROOT / "_build" / ".jupyter_cache"
PAGE = {"name": "myst_nb_md", "type": "plugin"}  # how a page is read: as the book reads it
TIMEOUT = 600  # seconds a cell


class OneAtATime(JupyterCacheBase):
    """A cache in which one thread writes at a time.

    After each writing the cache counts what it holds and deletes the oldest above its limit. What another writes
    between the two steps is deleted, too.
    """

    _lock = threading.Lock()

    def cache_notebook_bundle(self, *arguments: Any, **options: Any) -> Any:
        """See the base class."""
        with self._lock:
            return super().cache_notebook_bundle(*arguments, **options)


def execute(pages: list[Path], cache_folder: Path) -> list[str]:
    """Execute pages into an empty cache.

    Args:
        pages: MyST Markdown with a kernel; each runs in its own folder.
        cache_folder: what it holds is deleted.

    Returns:
        What is wrong, with the traceback of the cell that failed; empty when every page ran.
    """
    shutil.rmtree(cache_folder, ignore_errors=True)
    cache = get_cache(cache_folder)
    for page in pages:
        cache.add_nb_to_project(str(page), read_data=PAGE)

    def run(page: Path) -> list[str]:
        own = load_executor("local-serial", OneAtATime(cache_folder), logger=logging.getLogger("pages"))
        done = own.run_and_cache(filter_uris=[str(page)], timeout=TIMEOUT)
        return [*done.excepted, *done.errored]

    with ThreadPoolExecutor(_machine.processors()) as pool:  # the kernels are processes of their own
        failed = {uri for uris in pool.map(run, pages) for uri in uris}
    records = [record for record in cache.list_project_records() if record.uri in failed]
    return [f"{Path(record.uri).name} failed:\n{record.traceback or 'see above'}" for record in records]


def main() -> int:
    """Execute all pages; the exit status is 1 when one failed."""
    logging.basicConfig(format="%(message)s", level=logging.INFO)
    prepare_histograms()  # or the first page would say that something is compiled
    pages = [
        page for page in sorted((ROOT / "book").rglob("[!.]*.md")) if KERNEL.match(page.read_text(encoding="utf-8"))
    ]
    wrong = execute(pages, CACHE)
    print("\n\n".join(wrong), end="\n" if wrong else "")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
