"""What applications ask of a bot while it answers: they follow each switch without noticing."""
