"""One migration at one epoch: what work is given, its patience, its reads, its progress."""
