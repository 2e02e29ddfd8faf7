# SPDX-License-Identifier: MIT
"""Pages whose bytes follow from who put them and where: half compressible, half noise, so that they are really stored."""
import hashlib
import random

PAGE = 4096


def page(name, index, version=0):
    seed = int.from_bytes(hashlib.sha256(f"{name} {index} {version}".encode()).digest(), "big")
    words = f"{name}/{index}/{version} ".encode()
    return (words * (2048 // len(words) + 1))[:2048] + random.Random(seed).randbytes(2048)
