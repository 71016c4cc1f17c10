# SPDX-License-Identifier: Apache-2.0
"""The runtimes that networks run in: torch, OpenVINO, onnxruntime. One place chooses: `choice`."""
