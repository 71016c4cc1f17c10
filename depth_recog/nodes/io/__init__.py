# SPDX-License-Identifier: Apache-2.0
"""Subscriptions, publishers and messages."""
