"""The limiter all workers share, in Redis."""
