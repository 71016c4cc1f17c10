# SPDX-License-Identifier: Apache-2.0
"""The training loop, for any model: the caller brings the data and a `TrainingTask`."""
