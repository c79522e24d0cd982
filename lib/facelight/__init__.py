"""Faces under changing light: the library behind the book.

An image flows through the modules in this order: `data`, `illumination`, `enhance`, `layers`, `contrast`, `models`,
`losses`, `metrics`; `experiments` runs them, `results` keeps what was measured, `plot` draws it.
Nothing is imported here, so `import facelight` costs nothing and touches neither network nor GPU.
"""

from importlib.metadata import version

__version__ = version("facelight")
