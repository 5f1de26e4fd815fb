"""The outside world behind the domain's ports: Milvus, the providers, Redis, Celery, the clock."""
