"""What decides that a switch may happen: before a run, same content, right vectors, retrieval."""
