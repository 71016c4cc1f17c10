# SPDX-License-Identifier: Apache-2.0
"""How the networks learn. Nothing here is needed to run them."""
