"""Execution of the book's pages into the cache that the book is built from."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import execute
import yaml
from jupyter_cache import get_cache
from jupyter_cache.readers import get_reader

ROOT = Path(__file__).resolve().parents[1]
HEAD = "---\nkernelspec: {display_name: Python 3, language: python, name: python3}\n---\n\n# A page\n\n"


def page(folder: Path, name: str, code: str) -> Path:
    path = folder / name
    path.write_text(f"{HEAD}```{{code-cell}} ipython3\n{code}\n```\n")
    return path


def printed(folder: Path, path: Path) -> str:
    """What the book would show of a page: it finds it in the cache by its cells."""
    notebook = get_reader(execute.PAGE)(str(path))
    _, merged = get_cache(folder).merge_match_into_notebook(notebook)
    return "".join(output["text"] for cell in merged.cells for output in cell.get("outputs", ()))


def test_pages_are_executed_in_their_folders_and_nothing_old_is_kept(tmp_path):
    (tmp_path / "value.txt").write_text("first")
    pages = [page(tmp_path, "a.md", 'print(open("value.txt").read())'), page(tmp_path, "b.md", "print(1 + 1)")]
    assert execute.execute(pages, tmp_path / "cache") == []
    assert [printed(tmp_path / "cache", path) for path in pages] == ["first\n", "2\n"]
    (tmp_path / "value.txt").write_text("second")  # the cells are the same, and what they use is not
    assert execute.execute(pages[:1], tmp_path / "cache") == []
    assert printed(tmp_path / "cache", pages[0]) == "second\n"


def test_what_two_pages_print_is_written_one_after_the_other(tmp_path, monkeypatch):
    inside, most = [], []

    def slow(self, bundle, **options):
        inside.append(bundle)
        most.append(len(inside))
        time.sleep(0.2)
        inside.remove(bundle)

    monkeypatch.setattr(execute.JupyterCacheBase, "cache_notebook_bundle", slow)
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda n: execute.OneAtATime(tmp_path).cache_notebook_bundle(n), range(3)))
    assert most == [1, 1, 1]


def test_a_page_that_fails_is_named_with_its_traceback(tmp_path):
    pages = [page(tmp_path, "a.md", "print(1)"), page(tmp_path, "b.md", 'raise OSError("no such face")')]
    (wrong,) = execute.execute(pages, tmp_path / "cache")
    assert wrong.startswith("b.md failed:")
    assert "no such face" in wrong


def test_the_book_takes_what_was_executed():
    config = yaml.safe_load((ROOT / "_config.yml").read_text())
    assert config["execute"]["execute_notebooks"] == "cache"
    assert execute.CACHE == ROOT / "_build" / ".jupyter_cache"  # Jupyter Book's place
    recipe = (ROOT / "Makefile").read_text().partition("\nbook:")[2].partition("\n\n")[0]
    assert recipe.index("tools/execute.py") < recipe.index("jupyter-book build")
