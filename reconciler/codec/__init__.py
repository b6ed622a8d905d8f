"""Model values ⇄ JSON: canonical forms and digests, messages, deliveries, definitions.

Everything here is a pure function over bytes and values; it knows no file, no database and no socket.
"""
