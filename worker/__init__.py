"""The Celery side: ``celery -A worker …`` finds the application here."""

from __future__ import annotations

from worker.application import app

__all__ = ["app"]
