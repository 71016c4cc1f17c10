# SPDX-License-Identifier: Apache-2.0
"""The segmentation network of block 103: DeepLab, with its scores refined to stride 4."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from depth_recog.networks.own.edgetpu import CHANNELS, EdgeTpuEncoder

_HALF_CELL = 1.5 / 4
"""Distance from the first pixel of a cell of four pixels to its centre, in cells."""


def enlarge(x: Tensor, factor: int) -> Tensor:
    """Upsample bilinearly, with the samples at the pixels 0, factor, 2 factor, ...

    `interpolate` with align_corners=False puts the samples at the centres of the cells instead.

    Args:
        x: (B, C, h, w).
        factor: how many times larger.

    Returns:
        (B, C, h * factor, w * factor); the last sample is repeated up to the border.
    """
    height, width = x.shape[2:]
    x = nn.functional.pad(x, (0, 1, 0, 1), mode="replicate")
    size = (height * factor + 1, width * factor + 1)
    x = nn.functional.interpolate(x, size=size, mode="bilinear", align_corners=True)
    return x[:, :, :-1, :-1]


def centred(x: Tensor) -> Tensor:
    """Resample from the first pixels of 4x4 cells to the centres of these cells.

    Args:
        x: (B, C, h, w).
    """
    right = nn.functional.pad(x[:, :, :, 1:], (0, 1, 0, 0), mode="replicate")
    x = x.lerp(right, _HALF_CELL)
    below = nn.functional.pad(x[:, :, 1:], (0, 0, 0, 1), mode="replicate")
    return x.lerp(below, _HALF_CELL)


class _Refinement(nn.Module):
    """Adds the encoder's finer features to upsampled coarse ones."""

    def __init__(self, inputs: int, skip: int, outputs: int) -> None:
        super().__init__()
        self.coarse = nn.Conv2d(inputs, outputs, 1)
        self.fine = nn.Conv2d(skip, outputs, 1)
        self.merge = nn.Conv2d(outputs, outputs, 3, padding=1)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        x = (enlarge(self.coarse(x), 2) + self.fine(skip)).relu_()
        y: Tensor = self.merge(x)
        return y.relu_()


class RefinedDeepLab(nn.Module):
    """DeepLab's scores at stride 16 plus a correction at stride 4 from the finer features.

    The published weights were trained on images of about 500 rows; smaller images are enlarged
    first, because the features would be too coarse. The correction is initialised to zero: before
    training the scores are those of the published weights.

    Args:
        widths: channels of the correction at strides 8 and 4.
        classes: number of preset objects.
        enlargement: factor on the image size, a multiple of 0.5; the enlarged width and height must
            be multiples of 16.
        temperature: the scores are divided by it, so that their softmax is a calibrated
            probability (temperature scaling).
    """

    def __init__(
        self,
        widths: tuple[int, int] = (64, 48),
        classes: int = 19,
        enlargement: float = 1.5,
        temperature: float = 1.0,
    ) -> None:
        super().__init__()
        self.encoder = EdgeTpuEncoder()
        self.head = nn.Conv2d(CHANNELS[3], classes, 1)
        self.eighth = _Refinement(CHANNELS[3], CHANNELS[2], widths[0])
        self.quarter = _Refinement(widths[0], CHANNELS[1], widths[1])
        self.correction = nn.Conv2d(widths[1], classes, 1)
        nn.init.zeros_(self.correction.weight)
        nn.init.zeros_(self.correction.bias)  # type: ignore[arg-type]
        self.enlargement = enlargement
        self._halves = round(2 * enlargement)
        self.temperature = temperature

    def forward(self, image: Tensor) -> Tensor:
        """Class scores.

        Args:
            image: (B, 3, H, W) float, 0..1, RGB; H and W multiples of 32.

        Returns:
            (B, classes, H, W) float, before the softmax.
        """
        size = (image.shape[2], image.shape[3])
        _, quarter, eighth, last = self.encoder(self._enlarged(image))
        fine = self.quarter(self.eighth(last, eighth), quarter)
        scores = centred(enlarge(self.head(last), 4)) + self.correction(fine)
        scores = scores / self.temperature
        return nn.functional.interpolate(scores, size=size, mode="bilinear", align_corners=False)

    def _enlarged(self, image: Tensor) -> Tensor:
        if self.enlargement == 1:
            return image
        # In integers, so that an exported graph of any size can compute it.
        size = [side * self._halves // 2 for side in image.shape[2:]]
        return nn.functional.interpolate(image, size=size, mode="bilinear", align_corners=False)


def segmentation_network(design: str = "", **settings: Any) -> RefinedDeepLab:
    """Build the network that a weights file names.

    Args:
        design: "refined_deeplab".
        settings: arguments of `RefinedDeepLab`.

    Raises:
        KeyError: the design is unknown.
    """
    if design != "refined_deeplab":
        raise KeyError(f"design {design!r}; refined_deeplab is known")
    return RefinedDeepLab(**settings)
