"""Benchmarks: each figure beside its baseline, measured in the same run on the same servers.

``make bench`` runs all of them, ``make bench ONLY=growth`` one. A figure means
something as a ratio only: the machine is in both sides of it.
"""
