"""The sources of candidates, one module each, behind the Protocol of `server.sources.base`."""
