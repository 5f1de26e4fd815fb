"""``reembed``: the API on the command line, from any machine.

It knows an address and a token and nothing of the server: it imports neither the
API nor the domain, so it starts at once, and it shows what the API answers. What
needs the servers themselves is ``celery -A worker reembed …``.
"""
