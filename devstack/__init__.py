"""The embedded stack: Redis, PostgreSQL and Milvus from wheels alone, for trying and testing.

Production runs the same Procfile against servers of its own; nothing in
``api``, ``worker`` or ``migrations`` imports this package.
"""
