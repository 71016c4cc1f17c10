# SPDX-License-Identifier: Apache-2.0
"""What a node says of its health."""
