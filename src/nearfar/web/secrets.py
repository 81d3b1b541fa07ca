"""Secrets that people and programs show: 256 random bits, of which a database keeps the SHA-256 only.

Who reads the database cannot sign in with what it holds.
"""

from __future__ import annotations

import hashlib
import secrets

__all__ = ["hash_token", "new_token"]

_TOKEN_BYTES = 32
_LONGEST_TOKEN = 100


def hash_token(token: str) -> str:
    """What a database keeps of a token: its SHA-256 in hexadecimal."""
    return hashlib.sha256(token[:_LONGEST_TOKEN].encode("utf-8", "surrogatepass")).hexdigest()


def new_token() -> str:
    """A secret that nobody guesses."""
    return secrets.token_urlsafe(_TOKEN_BYTES)
