# SPDX-License-Identifier: Apache-2.0
"""Life cycle, parameters, QoS and processes."""
