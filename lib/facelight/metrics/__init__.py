"""How good a prediction or an enhanced image is. Tables and plots of these numbers live in `results` and `plot`."""

from facelight.metrics.landmarks import ced_auc, ced_curve, failure_rate, nme
from facelight.metrics.quality import ambe, entropy, noise_amplification, psnr, psnr_bound, rms_contrast, ssim
from facelight.metrics.recognition import nearest_neighbor, recognition_rate

# fmt: off
__all__ = [
    "ambe", "ced_auc", "ced_curve", "entropy", "failure_rate", "nearest_neighbor", "nme", "noise_amplification",
    "psnr", "psnr_bound", "recognition_rate", "rms_contrast", "ssim",
]
# fmt: on
