# SPDX-License-Identifier: Apache-2.0
"""How the shipped mask and pose weights were made."""
