"""Routes parse, authorise, call one use case and answer; nothing else."""

from __future__ import annotations

from api.routes.access import access
from api.routes.bots import bots
from api.routes.chunks import chunks
from api.routes.conflicts import conflicts
from api.routes.doctor import doctor
from api.routes.embeddings import embeddings
from api.routes.events import events
from api.routes.golden import golden
from api.routes.health import health
from api.routes.history import history
from api.routes.kept import kept
from api.routes.migrations import migrations
from api.routes.monitoring import monitoring
from api.routes.openai import openai
from api.routes.paces import paces
from api.routes.search import search
from api.routes.spend import spend
from api.routes.steering import steering
from api.routes.trial import trial
from api.routes.workers import workers

#: Each asks for a token.
GUARDED = (
    bots,
    chunks,
    golden,
    embeddings,
    trial,
    search,
    migrations,
    steering,
    kept,
    conflicts,
    spend,
    access,
    workers,
    openai,
    history,
    events,
    doctor,
    paces,
)
#: These look after themselves.
OPEN = (health, monitoring)
#: Of whom requests are counted.
COUNTED = (*GUARDED, monitoring)
