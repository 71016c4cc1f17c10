# SPDX-License-Identifier: Apache-2.0
"""Virtual KITTI 2."""
