"""Celery: sending, and results that nobody awaits."""
