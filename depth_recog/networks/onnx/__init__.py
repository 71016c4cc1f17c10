# SPDX-License-Identifier: Apache-2.0
"""Networks as ONNX files."""
