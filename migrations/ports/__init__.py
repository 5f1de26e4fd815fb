"""The outside world as the domain sees it: one port a file.

Adapters and the store implement these and translate every vendor's exception into one of
``migrations.model.errors``. Each has a fake in ``tests/fakes`` and a contract suite that runs
on the fake and on the real thing.
"""
