"""The version of the code, part of every step's fingerprint."""

from typing import Final

VERSION: Final = "0.1.0"
