"""Celery's own settings. Ours are in migrations/settings.py, the environment in .env.example.

Every value that differs from Celery's default says why.
"""

from __future__ import annotations

from kombu import Exchange, Queue

from migrations.model.task_names import BATCH, BATCH_QUEUES, CONTROL_QUEUE
from migrations.settings import get_settings

_settings = get_settings()

broker_url = _settings.redis_url.get_secret_value()
# Nobody waits for a result, so nobody listens for one.
result_backend = f"migrations.adapters.broker.results.UnawaitedResults+{broker_url}"

# Only ids, numbers and key ranges travel.
task_serializer = result_serializer = "json"
accept_content = ["json"]
enable_utc = True

# A batch that dies with its worker is delivered again; every task is idempotent.
task_acks_late = True
task_reject_on_worker_lost = True
worker_prefetch_multiplier = 1
# A restart of Redis must not fail the chords in flight; the tasks go on, and the
# watchdog looks after the rest.
worker_cancel_long_running_tasks_on_connection_loss = False
broker_connection_retry_on_startup = True
broker_transport_options = {
    "visibility_timeout": 3600,
    "socket_timeout": 10,
    "socket_connect_timeout": 5,
    # A message whose worker died comes back at the visibility timeout, not minutes after it.
    "unacked_restore_interval": 10,
    "unacked_restore_throttle": 10,
    # One list for each queue is asked for, not one for each of four priorities.
    "priority_steps": [0],
}
result_backend_transport_options = {"retry_policy": {"timeout": 5.0}}
redis_socket_timeout = 10
redis_socket_connect_timeout = 5
# Publishing fails fast; the outbox sends again.
task_publish_retry_policy = {"max_retries": 2, "interval_start": 0.2, "interval_max": 1}

# A typo in a queue's name is an error, not a queue nobody reads.
task_create_missing_queues = False
_exchange = Exchange("migrations", type="direct")
task_queues = [
    Queue(CONTROL_QUEUE, _exchange, routing_key=CONTROL_QUEUE),
    *(Queue(name, _exchange, routing_key=name) for name in BATCH_QUEUES),
]
task_default_queue = CONTROL_QUEUE
task_default_exchange = "migrations"
task_default_routing_key = CONTROL_QUEUE
task_routes = {BATCH: {"queue": BATCH_QUEUES[0], "routing_key": BATCH_QUEUES[0]}}

# The state store is the record and Flower reads events; batches keep no result at all.
result_expires = 3600
task_send_sent_event = True
worker_send_task_events = True

# structlog owns the log.
worker_hijack_root_logger = False
worker_redirect_stdouts = False
