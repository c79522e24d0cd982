"""Change the version of the project everywhere, in one commit: `make release VERSION=1.2.0`.

While the version ends in `.devN`, badges, set-up cells and README refer to the branch `main`; otherwise to the tag of
the version. `make release VERSION=1.3.0.dev0` after a release turns them back and opens the changelog's next section.
"""

from __future__ import annotations

import ast
import datetime
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import jupytext
import notebooks
from notebooks import chapters
from packaging.version import InvalidVersion, Version

ROOT = Path(__file__).resolve().parents[1]
BADGE = re.compile(r"/blob/([^/\s]+)/(notebooks/\w+\.ipynb)\)")
CLONE = re.compile(r"(?<=--branch )\S+(?= https://github\.com/)")
INSTALL = re.compile(r"(?<=pip install git\+https://github\.com/)([\w.-]+/[\w.-]+)@([^\s`]+)")
UNRELEASED = "## [Unreleased]"
PACKAGES = ("facelight", "facelight_render", "facelight_lab")


class Refused(Exception):
    """Why a release cannot be made."""


def git(root: Path, *arguments: str) -> str:
    """What a git command prints; `Refused` with its error when it fails."""
    done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True)
    if done.returncode:
        raise Refused(f"git {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout.strip()


def version_of(root: Path) -> str:
    """The version in `pyproject.toml`."""
    return str(tomllib.loads((root / "pyproject.toml").read_text())["project"]["version"])


def reference(version: str) -> str:
    """What badges, set-up cells and README refer to: `main` during development, else the version's tag."""
    return "main" if Version(version).is_devrelease else f"v{version}"


def unreleased(changelog: str) -> str | None:
    """The entries of the changelog's Unreleased section; None without that section."""
    _, heading, rest = changelog.partition(UNRELEASED)
    return re.split(r"^## ", rest, flags=re.M)[0].strip() if heading else None


def imports(source: str) -> set[tuple[str, str]]:
    """Pairs (module, name) of what Python code imports from this project; the name is empty for `import module`."""
    tree = ast.parse(re.sub(r"^(\s*)[!%].*$", r"\1pass", source, flags=re.M))
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {(alias.name, "") for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found |= {(node.module, alias.name) for alias in node.names}
    return {(module, name) for module, name in found if module.partition(".")[0] in PACKAGES}


def code_of(chapter: Path) -> list[str]:
    """The sources of a chapter's code cells."""
    return [cell.source for cell in jupytext.read(chapter).cells if cell.cell_type == "code"]


def names_of(root: Path, tree: str, files: set[str], path: str) -> set[str]:
    """The names at the top level of a module in a tree of git: of its stub where it has one, and its public ones."""
    path = next((p for p in (f"{path}/__init__.pyi", f"{path}/__init__.py", f"{path}.py") if p in files), "")
    names: set[str] = set()
    body = ast.parse(git(root, "show", f"{tree}:{path}")).body if path else []
    for node in [*body, *(inner for block in body if isinstance(block, ast.With | ast.If) for inner in block.body)]:
        if isinstance(node, ast.ImportFrom) and node.names[0].name == "*":
            folder = path.rpartition("/")[0] if node.level else "lib"
            names |= names_of(root, tree, files, f"{folder}/{str(node.module).replace('.', '/')}")
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names |= {part.asname or part.name for part in node.names}
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Assign):
            names |= {target.id for target in node.targets if isinstance(target, ast.Name)}
    return names


def lacks(root: Path, tree: str) -> list[str]:
    """Notebooks that a badge names, and modules that chapters and README import, which a tree of git does not have."""
    files = set(git(root, "ls-tree", "-r", "--name-only", "-z", tree).split("\0"))
    wanted = {path for chapter in chapters(root) for _, path in BADGE.findall(chapter.read_text())}
    missing = [path for path in sorted(wanted) if path not in files]
    code = [source for chapter in chapters(root) for source in code_of(chapter)]
    code += re.findall(r"```python\n(.*?)```", (root / "README.md").read_text(), re.S)
    for module, name in sorted(set().union(*map(imports, code))):
        path = f"lib/{module.replace('.', '/')}"
        package = f"{path}/__init__.py" in files
        if f"{path}.py" not in files and not package:
            missing.append(f"{path}.py")
        elif package and name and not {f"{path}/{name}.py", f"{path}/{name}/__init__.py"} & files:
            missing += [] if name in names_of(root, tree, files, path) else [f"{path}/{name}.py"]
    return missing


def problems(root: Path) -> list[str]:
    """Where version, references, changelog and tags contradict each other; an empty list when nowhere."""
    version, wrong = version_of(root), []
    wanted, changelog = reference(version), (root / "CHANGELOG.md").read_text()
    if f"\nversion: {version}\n" not in (root / "CITATION.cff").read_text():
        wrong.append(f"CITATION.cff has another version than pyproject.toml, {version}")
    found = {"README.md": {ref for _, ref in INSTALL.findall((root / "README.md").read_text())}}
    for chapter in chapters(root):
        text = chapter.read_text()
        found[f"book/{chapter.name}"] = {ref for ref, _ in BADGE.findall(text)} | set(CLONE.findall(text))
    for name, references in found.items():
        if references != {wanted}:
            wrong.append(
                f"{name} refers to {', '.join(sorted(references)) or 'nothing'}, version {version} to {wanted}"
            )
    for ref in sorted(set().union(*found.values()) - {"main"}):
        if git(root, "tag", "--list", ref):
            wrong += [f"{ref} is a tag, whose tree lacks {path}" for path in lacks(root, f"refs/tags/{ref}")]
    if wanted == "main" and unreleased(changelog) is None:
        wrong.append(f"CHANGELOG.md has no section {UNRELEASED}, which {version} needs")
    if wanted != "main" and unreleased(changelog):
        wrong.append(f"CHANGELOG.md has entries under {UNRELEASED}, but {version} is no .dev version")
    if wanted != "main" and f"\n## [{version}]" not in changelog:
        wrong.append(f"CHANGELOG.md has no section for {version}")
    return wrong


def check_wish(root: Path, wish: str) -> None:
    """Raise `Refused` unless the wished version may follow the present one, in a clean checkout."""
    present = version_of(root)
    try:
        well_formed = re.fullmatch(r"\d+\.\d+\.\d+(\.dev\d+)?", wish) and Version(wish)
    except InvalidVersion:
        well_formed = None
    if not well_formed:
        raise Refused(f"VERSION is like 1.2.0 or 1.3.0.dev0; got {wish!r}")
    if Version(wish) <= Version(present):
        raise Refused(f"VERSION must be above the present {present}; got {wish}")
    if changed := git(root, "status", "--porcelain"):
        raise Refused(f"the checkout has changes, commit or remove them first:\n{changed}")
    if git(root, "tag", "--list", f"v{wish}"):
        raise Refused(f"the tag v{wish} exists already")
    if reference(wish) != "main" and not unreleased((root / "CHANGELOG.md").read_text()):
        raise Refused(f"CHANGELOG.md has nothing under {UNRELEASED}: there is nothing to release")


def rewrite(root: Path, version: str, today: str) -> None:
    """Change version, dates and references in all files, and the same text in the notebooks, whose outputs stay."""
    ref, development = reference(version), Version(version).is_devrelease

    def replace(path: Path, *pairs: tuple[re.Pattern[str] | str, str]) -> None:
        text = path.read_text(encoding="utf-8")
        for pattern, new in pairs:
            text, count = re.subn(pattern, new, text, flags=0 if isinstance(pattern, re.Pattern) else re.M)
            if not count:
                raise Refused(f"{path.relative_to(root)} has nothing like {getattr(pattern, 'pattern', pattern)}")
        path.write_text(text, encoding="utf-8")

    replace(root / "pyproject.toml", (r'^version = ".*"$', f'version = "{version}"'))
    date = [] if development else [(r"^date-released: .*$", f"date-released: {today}")]
    replace(root / "CITATION.cff", (r"^version: .*$", f"version: {version}"), *date)
    replace(root / "README.md", (INSTALL, rf"\1@{ref}"))
    changelog = root / "CHANGELOG.md"
    if not development:
        replace(changelog, (re.escape(UNRELEASED), f"## [{version}] - {today}"))
    elif unreleased(changelog.read_text()) is None:
        changelog.write_text(changelog.read_text().replace("\n## [", f"\n{UNRELEASED}\n\n## [", 1))
    for chapter in chapters(root):
        replace(chapter, (BADGE, rf"/blob/{ref}/\2)"), (CLONE, ref))
        notebook, target = notebooks.convert(chapter), root / "notebooks" / f"{chapter.stem}.ipynb"
        if not notebooks.keep_outputs(notebook, target):
            raise Refused(f"notebooks/{target.name} is not what its chapter generates: make notebooks")
        notebooks.write(notebook, target)


def release(root: Path, version: str, today: str) -> str:
    """Make the commit; return what to do next. After a refusal all files are as they were."""
    check_wish(root, version)
    try:
        rewrite(root, version, today)
        git(root, "add", "--update")
        if missing := lacks(root, git(root, "write-tree")):
            raise Refused(f"the tree of {version} would lack {', '.join(missing)}")
        if wrong := problems(root):
            raise Refused("\n".join(wrong))
        git(root, "commit", "--message", f"Version {version}")
    except BaseException:
        git(root, "restore", "--staged", "--worktree", ".")
        raise
    if reference(version) == "main":
        return f"Version {version} is committed: git push origin main"
    return f"""Version {version} is committed. Now
  git tag --annotate v{version} --message "facelight {version}"
  git push origin main v{version}
and after that: make release VERSION={Version(version).major}.{Version(version).minor + 1}.0.dev0"""


def main() -> int:
    """Release the version of the command line; the exit status is 1 when it is refused."""
    try:
        print(release(ROOT, " ".join(sys.argv[1:]), datetime.date.today().isoformat()))
    except Refused as reason:
        print(f"no release: {reason}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
