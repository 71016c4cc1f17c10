# SPDX-License-Identifier: Apache-2.0
"""How far answers are from the truth; `evaluate.evaluate` is the door."""
