"""Telling others what happens to migrations, and asking them before a switch."""
