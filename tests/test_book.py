"""The book as a whole: configuration, table of contents, citation, workflows, README, and what may not be in it."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import docstrings
import install
import pytest
import torch
import yaml

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
CONFIG = yaml.safe_load((ROOT / "_config.yml").read_text())


def pages() -> list[str]:
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text())
    chapters = [entry for part in toc["parts"] for entry in part["chapters"]]
    return [toc["root"], *(page["file"] for entry in chapters for page in (entry, *entry.get("sections", ())))]


def tracked() -> list[Path]:
    names = subprocess.check_output(["git", "ls-files", "-z"], cwd=ROOT, text=True).split("\0")
    return [ROOT / name for name in names if name and (ROOT / name).is_file()]


def test_every_page_of_the_table_of_contents_exists_and_every_page_is_in_it():
    listed = {ROOT / f"{page}.md" for page in pages()}
    assert listed == set((ROOT / "book").rglob("*.md"))


def anchors(text: str) -> set[str]:
    """What a link can lead to in a page: labels of its own, and those of its figures and tables."""
    return set(re.findall(r"^\((.+)\)=$", text, re.M)) | set(re.findall(r"^\s*:?name:\s*(\S+)", text, re.M))


def test_every_link_to_another_page_leads_to_a_page_and_a_label_of_it():
    broken, seen = [], 0
    for page in (ROOT / "book").rglob("*.md"):
        for file, label in re.findall(r"\]\(([\w./-]*\.md)?(?:#([\w:.-]+))?\)", page.read_text()):
            if file or label:
                there = (page.parent / file) if file else page
                seen += 1
                if not there.is_file() or (label and label not in anchors(there.read_text())):
                    broken.append(f"{page.relative_to(ROOT)}: {file}#{label}")
    assert seen > 50
    assert broken == []


# Not listed by itself: what is listed as part of another module, and what only its neighbors call.
WITHIN = {
    "facelight": ("augment.", "checkpoints", "enhance.", "illumination.", "layers.", "metrics.", "precision", "recipe"),
    "facelight_lab": (
        "claims.",
        "enhancement.learnable",
        "enhancement.parts",
        "recognition.patterns",
        "recognition.scoring",
    ),
}


def test_every_public_module_is_in_the_reference_once_on_one_page():
    pages = (page.read_text() for page in (ROOT / "book").glob("api/*.md"))
    listed = [name for page in pages for name in re.findall(r"^\.\. automodule:: (\S+)", page, re.M)]
    assert len(listed) == len(set(listed))
    assert [name for name in listed if importlib.util.find_spec(name) is None] == []
    for package, parts in WITHIN.items():
        for path in (ROOT / "lib" / package).rglob("[!_]*.py"):
            name = ".".join(path.relative_to(ROOT / "lib" / package).with_suffix("").parts)
            assert name.startswith(parts) or f"{package}.{name}" in listed, (
                f"{package}.{name} is on no page of book/api"
            )


def test_the_source_of_a_function_is_a_paragraph_not_a_term_with_a_definition():
    lines = [
        "One line.",
        "",
        "Source: A (2004),",
        "    doi:1; B (2005).",
        "Differs from the paper:",
        "    it says `x`.",
    ]
    docstrings.process(None, "function", "f", None, None, lines)
    wanted = [
        "One line.",
        "",
        "",
        "Source: A (2004),",
        "doi:1; B (2005).",
        "",
        "Differs from the paper:",
        "it says ``x``.",
    ]
    assert lines == wanted


def test_the_book_has_one_epsilon():
    """Of the two letters of TeX the one of the page on notation."""
    assert r"\varepsilon" in (ROOT / "book" / "notation.md").read_text()
    others = [page.name for page in (ROOT / "book").rglob("*.md") if re.search(r"\\epsilon\b", page.read_text())]
    assert others == []


def test_citation_file_is_complete_and_agrees_with_the_package():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["cff-version"] == "1.2.0"
    assert {"message", "title", "authors", "type", "date-released", "license", "repository-code"} <= set(citation)
    assert str(citation["version"]) == PROJECT["version"]
    assert citation["license"] == PROJECT["license"]
    assert citation["repository-code"] == CONFIG["repository"]["url"]
    for reference in citation["references"]:
        assert re.fullmatch(r"10\.\d{4,}/\S+", reference["doi"])
    heading = "Unreleased" if ".dev" in PROJECT["version"] else PROJECT["version"]
    assert f"\n## [{heading}]" in (ROOT / "CHANGELOG.md").read_text()


def test_jupyter_book_stays_on_the_version_that_reads_our_configuration():
    pins = dict(re.findall(r"^([\w.-]+)==(\S+)", (ROOT / "requirements.txt").read_text(), re.M))
    assert pins["jupyter-book"].startswith("1.")
    assert pins["opencv-python-headless"].startswith("4.")
    assert CONFIG["only_build_toc_files"] is True


def test_every_dependency_is_pinned_and_explained():
    pins = {
        re.sub(r"[-_.]+", "-", n).lower()
        for n in re.findall(r"^(\S+)==", (ROOT / "requirements.txt").read_text(), re.M)
    }
    rows = re.findall(r"^\| (`[^|]+) \| ([^|]*) ?\| [^|]+ \|$", (ROOT / "README.md").read_text(), re.M)
    explained = {
        (name, extra)
        for names, extras in rows
        for name in re.findall(r"`([\w-]+)`", names)
        for extra in re.findall(r"\[(\w+)\]", extras) or [""]
    }
    for extra, requirements in {"": PROJECT["dependencies"], **PROJECT["optional-dependencies"]}.items():
        for name in (re.match(r"[\w.-]+", requirement)[0] for requirement in requirements):
            if name != "facelight":  # an extra that another one contains
                assert re.sub(r"[-_.]+", "-", name).lower() in pins, f"{name} is not in requirements.txt: make lock"
                assert (name, extra) in explained, f"{name} [{extra}] has no line in the README's table"


def test_the_example_of_the_readme_runs_and_its_network_ignores_the_light():
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.S)
    names = {}
    exec(code, names)
    model, bright = names["model"].eval(), names["faces"].image.float() / 255
    with torch.no_grad():
        assert model(names["even"]).shape == (8, 1000)
        z, dark = model.conv1(bright), model.conv1(names["dark"])
    assert (dark - z).norm() < 0.5 * z.norm()  # a plain first layer loses five sixths


@pytest.mark.parametrize("path", sorted((ROOT / ".github" / "workflows").glob("*.yml")), ids=lambda p: p.name)
def test_workflows_pin_actions_and_ask_for_no_more_than_they_need(path):
    workflow = yaml.safe_load(path.read_text())
    assert "permissions" in workflow
    assert "write" not in str(workflow["permissions"])
    for job in workflow["jobs"].values():
        assert "timeout-minutes" in job
        for step in job["steps"]:
            if "uses" in step:
                assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", step["uses"]), step["uses"]


@pytest.mark.parametrize(("name", "job"), [("check", "check"), ("weekly", "newest")])
def test_workflows_run_every_python_that_the_package_names(name, job):
    named = re.findall(r"Python :: (3\.\d+)", "\n".join(PROJECT["classifiers"]))
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / f"{name}.yml").read_text())["jobs"][job]
    assert workflow["strategy"]["matrix"]["python"] == named == [f"{major}.{minor}" for major, minor in install.TESTED]
    (setup,) = [step for step in workflow["steps"] if "setup-python@" in step.get("uses", "")]
    assert setup["with"]["python-version"] == "${{ matrix.python }}"


def test_make_help_lists_every_target():
    listed = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for target in [
        "help",
        "check",
        "accept",
        "notebooks",
        "run",
        "print",
        "serve",
        "linkcheck",
        "clean",
        "book",
        "test",
    ]:
        assert re.search(rf"make {target}\b", listed), target


def test_make_run_says_which_chapter_is_missing():
    run = subprocess.run(["make", "run", "CH=99"], cwd=ROOT, capture_output=True, text=True)
    assert run.returncode != 0
    assert "there is no notebook" in run.stdout
    assert "01_theory" in run.stdout


def test_make_run_refuses_an_unknown_profile():
    run = subprocess.run(["make", "run", "CH=03", "PROFILE=lapop"], cwd=ROOT, capture_output=True, text=True)
    assert run.returncode != 0
    assert "PROFILE is book, laptop or full; got lapop" in run.stdout


def test_no_image_of_a_person_is_tracked_and_files_are_small():
    pictures = {".jpg", ".jpeg", ".png", ".pgm", ".gif", ".webp", ".mat", ".pts"}
    assert not [p for p in tracked() if p.suffix.lower() in pictures]
    assert not [p for p in tracked() if p.stat().st_size > 500_000]


def test_records_are_small():
    assert sum(p.stat().st_size for p in (ROOT / "book" / "results").glob("[!.]*/*.json")) < 8_000_000


def test_the_project_names_no_path_of_a_machine():
    folders = [folder for folder in (ROOT, Path.home(), Path(sys.prefix)) if folder != Path("/")]
    needle = re.compile("|".join(re.escape(f"{folder}/") for folder in folders))
    texts = (
        p
        for p in tracked()
        if p.suffix in {".py", ".md", ".yml", ".toml", ".json", ".ipynb", ".cff", ""} and p != Path(__file__)
    )
    assert not [str(p) for p in texts if needle.search(p.read_text(errors="ignore"))]


@pytest.mark.slow
def test_wheel_carries_its_data(tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    shutil.copytree(ROOT / "lib", source / "lib", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", str(tmp_path)]
    subprocess.run([*build, str(source)], check=True)
    (wheel,) = tmp_path.glob("facelight-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if ".dist-info/" not in name}
        (about,) = (archive.read(name).decode() for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
    assert wheel.stat().st_size < 10e6
    assert {f"{package}/py.typed" for package in ("facelight", "facelight_render", "facelight_lab")} <= packed
    assert "Description-Content-Type: text/markdown\n" in about
    assert about.partition("\n\n")[2].strip() == (ROOT / "README.md").read_text().strip()
    wanted = {p.relative_to(ROOT / "lib").as_posix() for p in tracked() if p.is_relative_to(ROOT / "lib")}
    assert packed == wanted
