# SPDX-License-Identifier: Apache-2.0
"""A synthetic street: rendered images with exact depth, flow, labels, masks and boxes."""

from depth_recog.datasets.street.scene import SCENES
from depth_recog.datasets.street.street import SyntheticStreet, parse_spec

__all__ = ["SCENES", "SyntheticStreet", "parse_spec"]
