"""What Prometheus is told: figures of the state store, and how this process has answered."""
