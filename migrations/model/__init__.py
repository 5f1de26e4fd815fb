"""The words everybody uses: states, configuration, chunks, bots, runs, reports, errors, messages.

Nothing of ours is imported here.
"""
