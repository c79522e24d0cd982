"""The 64 lights of Extended Yale B and their five subsets. No pictures here."""

from __future__ import annotations

from facelight.data.samples import light_angle

# (azimuth, elevation) in degrees, as in the data set's file names.
# fmt: off
YALE_LIGHTS: tuple[tuple[int, int], ...] = (
    (-130, 20), (-120, 0), (-110, -20), (-110, 15), (-110, 40), (-110, 65), (-95, 0), (-85, -20),
    (-85, 20), (-70, -35), (-70, 0), (-70, 45), (-60, -20), (-60, 20), (-50, -40), (-50, 0),
    (-35, -20), (-35, 15), (-35, 40), (-35, 65), (-25, 0), (-20, -40), (-20, -10), (-20, 10),
    (-15, 20), (-10, -20), (-10, 0), (-5, -10), (-5, 10), (0, -35), (0, -20), (0, 0),
    (0, 20), (0, 45), (0, 90), (5, -10), (5, 10), (10, -20), (10, 0), (15, 20),
    (20, -40), (20, -10), (20, 10), (25, 0), (35, -20), (35, 15), (35, 40), (35, 65),
    (50, -40), (50, 0), (60, -20), (60, 20), (70, -35), (70, 0), (70, 45), (85, -20),
    (85, 20), (95, 0), (110, -20), (110, 15), (110, 40), (110, 65), (120, 0), (130, 20),
)
# fmt: on

SUBSET_BOUNDS = (12.0, 25.01, 52.0, 77.0)


def subset_of(azimuth: float, elevation: float) -> int:
    """Subset of a light by its angle from the camera axis, arccos(cos A cos E).

    Subset 1 reaches up to 12 degrees, 2 to 25.01, 3 to 52, 4 to 77; 5 is the rest.

    The literature's counts 7, 12, 12, 14, 19 come out only with two tolerances. The light (25, 0) lies at 25 degrees
    exactly but computes as slightly more, hence 25.01; the lights (+-35, +40) lie at 51.1 degrees although the third
    subset is usually said to end at 50, hence 52.

    Args:
        azimuth: degrees, positive: the light comes from the left of the picture (the subject's right).
        elevation: degrees, positive above the horizon.

    Returns:
        1 to 5.

    Raises:
        ValueError: an angle that is not a finite number.

    Source: A. Georghiades, P. Belhumeur, D. Kriegman (2001), From few to many, IEEE Trans. PAMI 23(6), 643-660,
    https://doi.org/10.1109/34.927464 (first four subsets); K.-C. Lee, J. Ho, D. Kriegman (2005), IEEE Trans. PAMI
    27(5), 684-698, https://doi.org/10.1109/TPAMI.2005.92 (64 lights).

    >>> subset_of(25, 0), subset_of(-35, 40), subset_of(0, 90)
    (2, 3, 5)
    """
    angle = float(light_angle(azimuth, elevation))
    if angle != angle:
        raise ValueError(
            f"azimuth, elevation: expected finite angles in degrees, got {azimuth}, {elevation}: "
            "pass numbers such as subset_of(35, -20)"
        )
    return 1 + sum(angle > bound for bound in SUBSET_BOUNDS)
