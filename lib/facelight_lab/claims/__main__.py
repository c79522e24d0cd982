"""`python -m facelight_lab.claims 07`: what is wrong with the claims of pages, and which numbers have none."""

from __future__ import annotations

import sys
from pathlib import Path

from facelight_lab.claims import check, pages, unclaimed


def main(wanted: list[str]) -> int:
    """Tell it of the pages whose path begins with one of the words; of all without words."""
    failed = False
    for name, page in pages(Path("book")).items():
        if wanted and not name.startswith(tuple(wanted)):
            continue
        wrong, rest = check(page), unclaimed(page)
        failed |= bool(wrong)
        print(f"{name}: {len(page.claims)} claims, {len(wrong)} wrong; {len(rest)} numbers without a claim")
        print("".join(f"  WRONG {line}\n" for line in wrong) + "".join(f"  {line}\n" for line in rest), end="")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
