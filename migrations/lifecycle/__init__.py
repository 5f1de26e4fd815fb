"""What may follow what: pure decisions over a migration's row.

They know no vendor and no transaction; the store takes the row's lock, asks here, and writes.
"""
