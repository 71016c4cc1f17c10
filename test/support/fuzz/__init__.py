# SPDX-License-Identifier: Apache-2.0
"""A seeded fuzzer: mutated files through every door, see benchmarks/fuzz.py and test/fuzz."""
