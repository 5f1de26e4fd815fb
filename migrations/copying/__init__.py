"""From the old collection to the new: batches, comparison, catching up, snapshots."""
