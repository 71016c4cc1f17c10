# SPDX-License-Identifier: Apache-2.0
"""Learning on the live stream."""
