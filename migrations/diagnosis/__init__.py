"""What is wrong with that which a migration stands on, in sentences with their remedies."""
