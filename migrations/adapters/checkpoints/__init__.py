"""Checkpoints in Redis."""
