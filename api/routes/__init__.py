"""Routes parse, authorise, call one use case and answer; nothing else."""

from __future__ import annotations

from api.routes.access import access
from api.routes.bots import bots
from api.routes.chunks import chunks
from api.routes.embeddings import embeddings
from api.routes.golden import golden
from api.routes.health import health
from api.routes.migrations import migrations
from api.routes.openai import openai
from api.routes.paces import paces
from api.routes.search import search
from api.routes.steering import steering

#: Each asks for a token.
GUARDED = (bots, chunks, golden, embeddings, search, migrations, steering, paces, access, openai)
OPEN = (health,)
