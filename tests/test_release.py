"""Versions cannot lie: what `make release` changes, checks and refuses, in a copy of the project."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import nbformat
import notebooks
import pytest
import release

ROOT = Path(__file__).resolve().parents[1]
TODAY = "2030-01-02"


def git(root: Path, *arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=root, check=True, capture_output=True, text=True).stdout.strip()


def commit(root: Path, message: str) -> None:
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--message", message)


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


@pytest.fixture(scope="module")
def prepared(tmp_path_factory) -> Path:
    """The project as it is in the working tree, as version 9.1.0.dev0 with something to release."""
    root = tmp_path_factory.mktemp("release") / "project"
    root.mkdir()
    for name in (
        "pyproject.toml",
        "CITATION.cff",
        "CHANGELOG.md",
        "README.md",
        ".gitignore",
        "_toc.yml",
        "_config.yml",
    ):
        shutil.copy(ROOT / name, root)
    shutil.copytree(ROOT / "lib", root / "lib", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    for path in (
        *(ROOT / "book").rglob("*.md"),
        ROOT / "book" / "references.bib",
        *(ROOT / "notebooks").glob("*.ipynb"),
    ):
        target = root / path.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    git(root, "init", "--quiet", "--initial-branch", "main")
    for option in ("user.name=A reader", "user.email=reader@example.org", "commit.gpgsign=false"):
        git(root, "config", *option.split("="))
    release.rewrite(root, "9.1.0.dev0", TODAY)
    edit(root / "CHANGELOG.md", "## [Unreleased]\n", "## [Unreleased]\n\n### Added\n\n- Something.\n")
    commit(root, "Start")
    return root


@pytest.fixture
def copy(prepared, tmp_path) -> Path:
    """A copy to release from."""
    return shutil.copytree(prepared, tmp_path / "copy")


def outputs(root: Path) -> list[tuple[object, object]]:
    paths = sorted((root / "notebooks").glob("*.ipynb"))
    cells = [cell for path in paths for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
    return [(cell.outputs, cell.execution_count) for cell in cells]


def generated(root: Path) -> bool:
    """Whether every notebook has the text that its chapter generates."""
    for chapter in release.chapters(root):
        found = nbformat.read(root / "notebooks" / f"{chapter.stem}.ipynb", as_version=4)
        if [cell.source for cell in notebooks.convert(chapter).cells] != [cell.source for cell in found.cells]:
            return False
    return True


def test_version_references_changelog_and_tags_of_this_project_agree():
    assert release.problems(ROOT) == []


def test_a_release_turns_everything_to_its_tag_in_one_commit_and_the_next_version_turns_it_back(copy):
    before, text = outputs(copy), {path: path.read_text() for path in release.chapters(copy)}
    next_step = release.release(copy, "9.1.0", TODAY)
    assert "git tag --annotate v9.1.0" in next_step
    assert "git push origin main v9.1.0" in next_step
    assert git(copy, "rev-list", "--count", "HEAD") == "2"
    assert git(copy, "status", "--porcelain") == ""
    assert release.version_of(copy) == "9.1.0"
    assert f"\nversion: 9.1.0\ndate-released: {TODAY}\n" in (copy / "CITATION.cff").read_text()
    changelog = (copy / "CHANGELOG.md").read_text()
    assert f"\n## [9.1.0] - {TODAY}\n\n### Added\n\n- Something.\n" in changelog
    assert "Unreleased" not in changelog
    assert "/facelight@v9.1.0`" in (copy / "README.md").read_text()
    for chapter in release.chapters(copy):
        for path in (chapter, copy / "notebooks" / f"{chapter.stem}.ipynb"):
            assert path.read_text().count("/blob/v9.1.0/notebooks/") == 1
            assert path.read_text().count("--branch v9.1.0 https") == 1
    assert outputs(copy) == before
    assert generated(copy)
    assert release.problems(copy) == []

    git(copy, "tag", "v9.1.0")
    assert release.problems(copy) == []
    assert "git push origin main" in release.release(copy, "9.2.0.dev0", TODAY)
    assert git(copy, "rev-list", "--count", "HEAD") == "3"
    assert {path: path.read_text() for path in release.chapters(copy)} == text
    assert outputs(copy) == before
    assert generated(copy)
    assert f"\n## [Unreleased]\n\n## [9.1.0] - {TODAY}\n" in (copy / "CHANGELOG.md").read_text()
    assert f"\nversion: 9.2.0.dev0\ndate-released: {TODAY}\n" in (copy / "CITATION.cff").read_text()
    assert release.problems(copy) == []


@pytest.mark.parametrize(
    ("version", "reason"),
    [
        ("", "VERSION is like"),
        ("9.2", "VERSION is like"),
        ("v9.2.0", "VERSION is like"),
        ("9.2.0rc1", "VERSION is like"),
        ("9.0.9", "above the present 9.1.0.dev0"),
        ("9.1.0.dev0", "above the present 9.1.0.dev0"),
        ("9.3.0", "the tag v9.3.0 exists"),
    ],
)
def test_a_version_that_may_not_follow_is_refused(copy, version, reason):
    git(copy, "tag", "v9.3.0")
    with pytest.raises(release.Refused, match=reason):
        release.release(copy, version, TODAY)
    assert git(copy, "rev-list", "--count", "HEAD") == "1"


@pytest.mark.parametrize("name", ["README.md", "new.txt"])
def test_a_checkout_with_changes_is_refused_and_left_as_it_is(copy, name):
    with (copy / name).open("a") as file:
        file.write("more\n")
    with pytest.raises(release.Refused, match=name):
        release.release(copy, "9.1.0", TODAY)
    assert (copy / name).read_text().endswith("more\n")


def test_a_release_without_changes_is_refused(copy):
    edit(copy / "CHANGELOG.md", "### Added\n\n- Something.\n", "")
    text = (copy / "CHANGELOG.md").read_text()
    head, _, rest = text.partition("## [Unreleased]")
    (copy / "CHANGELOG.md").write_text(head + "## [Unreleased]\n\n" + rest[rest.index("## [") :])
    commit(copy, "Nothing new")
    with pytest.raises(release.Refused, match="nothing to release"):
        release.release(copy, "9.1.0", TODAY)


@pytest.mark.parametrize("path", ["notebooks/07_beyond.ipynb", "lib/facelight_lab/stems.py"])
def test_a_tree_that_lacks_a_notebook_or_an_imported_module_is_refused(copy, path):
    """The file is there, but git ignores it: whoever opens the tag would miss it."""
    with (copy / ".gitignore").open("a") as file:
        file.write(f"\n{path}\n")
    git(copy, "rm", "--quiet", "--cached", path)
    commit(copy, "Forgotten")
    with pytest.raises(release.Refused, match=f"would lack {path}"):
        release.release(copy, "9.1.0", TODAY)
    assert git(copy, "rev-list", "--count", "HEAD") == "2"
    assert git(copy, "status", "--porcelain") == ""
    assert release.version_of(copy) == "9.1.0.dev0"


def test_a_notebook_that_is_not_generated_is_refused_and_nothing_is_changed(copy):
    chapter = release.chapters(copy)[0]
    edit(chapter, "SEED = 0", "SEED = 1")
    commit(copy, "Changed code, old notebook")
    with pytest.raises(release.Refused, match="make notebooks"):
        release.release(copy, "9.1.0", TODAY)
    assert git(copy, "status", "--porcelain") == ""


def test_badges_of_a_tag_whose_tree_lacks_the_notebook_are_found(copy):
    chapter = release.chapters(copy)[-1]
    git(copy, "rm", "--quiet", "--cached", f"notebooks/{chapter.stem}.ipynb")
    git(copy, "commit", "--quiet", "--message", "Before the chapter")
    git(copy, "tag", "v0.0.1")
    commit(copy, "The chapter's notebook")
    edit(chapter, "/blob/main/", "/blob/v0.0.1/")
    found = "\n".join(release.problems(copy))
    assert f"v0.0.1 is a tag, whose tree lacks notebooks/{chapter.stem}.ipynb" in found
    assert f"book/{chapter.name} refers to main, v0.0.1, version 9.1.0.dev0 to main" in found


@pytest.mark.parametrize(
    ("name", "old", "new", "problem"),
    [
        (
            "pyproject.toml",
            'version = "9.1.0.dev0"',
            'version = "9.1.0"',
            "has entries under ## [Unreleased], but 9.1.0",
        ),
        ("pyproject.toml", 'version = "9.1.0.dev0"', 'version = "9.1.0"', "CITATION.cff has another version"),
        ("pyproject.toml", 'version = "9.1.0.dev0"', 'version = "9.1.0"', "README.md refers to main"),
        ("pyproject.toml", 'version = "9.1.0.dev0"', 'version = "9.1.0"', "has no section for 9.1.0"),
        ("CITATION.cff", "version: 9.1.0.dev0", "version: 9.0.0", "CITATION.cff has another version"),
        ("README.md", "facelight@main", "facelight@v9.0.0", "README.md refers to v9.0.0"),
        ("book/01_theory.md", "--branch main", "--branch v9.0.0", "book/01_theory.md refers to main, v9.0.0"),
        ("CHANGELOG.md", "## [Unreleased]", "## [9.1.0] - 2030-01-02", "has no section ## [Unreleased]"),
    ],
)
def test_contradictions_are_found(copy, name, old, new, problem):
    edit(copy / name, old, new)
    assert problem in "\n".join(release.problems(copy))


def test_imports_are_read_past_commands_of_the_notebook_and_only_of_this_project():
    source = (
        "import numpy, facelight_lab.plot\nif x:\n    !git clone y\n    %cd z\nfrom facelight.data import crops as s\n"
    )
    assert release.imports(source) == {("facelight_lab.plot", ""), ("facelight.data", "crops")}


def test_an_import_of_something_that_no_module_has_is_found(copy):
    edit(
        copy / "README.md",
        "import facelight_render\n",
        "import facelight_render.nothing\nfrom facelight import clahe, detect, nme, nothing, LitFaces\n"
        "from facelight.data import LitFaces, crops, neither\nfrom facelight_render import lights, nobody\n",
    )
    missing = ["facelight/data/neither", "facelight/nothing", "facelight_render/nobody", "facelight_render/nothing"]
    assert sorted(release.lacks(copy, "HEAD")) == [f"lib/{name}.py" for name in missing]
