"""Print what is installed as requirements with exact versions, for `requirements.txt`."""

from __future__ import annotations

from importlib import metadata

# torch itself pins the exact versions of these, and only on the platforms that have them.
LEFT_TO_TORCH = ("nvidia-", "cuda-", "triton")
NOT_NEEDED = {"facelight", "pip"}

print("# Exact versions for CI and the published book; written by `make lock`. Lower bounds are in pyproject.toml.")
pins = {dist.metadata["Name"]: dist.version for dist in metadata.distributions()}
for name, version in sorted(pins.items(), key=lambda item: item[0].lower()):
    if not name.lower().startswith(LEFT_TO_TORCH) and name.lower() not in NOT_NEEDED:
        print(f"{name}=={version.split('+')[0]}")
