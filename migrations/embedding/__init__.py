"""From texts to vectors: asking a provider in turn, over-long texts, what it would take."""
