"""What a process of ours needs whatever it works on: services, pulse, threads, outbox, logs."""
