# SPDX-License-Identifier: Apache-2.0
"""Block 108: what training minimises."""
