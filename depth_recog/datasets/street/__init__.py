# SPDX-License-Identifier: Apache-2.0
"""A street made by computation: images, and the exact depth, motion and labels behind them."""

from depth_recog.datasets.street.scene import SCENES
from depth_recog.datasets.street.street import SyntheticStreet, parse_spec

__all__ = ["SCENES", "SyntheticStreet", "parse_spec"]
