"""Applications that write through us: what is taken, kept in a journal, and applied."""
