"""After the switch: rolling back, late writes to the old collection, collections that are kept."""
