# SPDX-License-Identifier: MIT
"""The rules of tools/tidy. Start with policy.py: it says what is wanted; the others say how it is seen."""
