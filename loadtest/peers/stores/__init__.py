"""Clients of vector stores, as `loadtest.peers.front` uses them; each runs in its peer's own environment."""
