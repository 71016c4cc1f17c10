# SPDX-License-Identifier: Apache-2.0
"""The depth node's reports on /diagnostics, and their recording."""
