# SPDX-License-Identifier: Apache-2.0
"""The own networks as ONNX graphs, written from their weights files without torch."""
