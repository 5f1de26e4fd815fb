"""Taking a collection under our care, and who may come in."""
