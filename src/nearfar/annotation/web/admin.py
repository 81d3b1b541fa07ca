"""The pages of admins and viewers: numbers, pairs, people, exports."""

from __future__ import annotations

from fastapi import APIRouter

__all__ = ["router"]

router = APIRouter(prefix="/admin")
