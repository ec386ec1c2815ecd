"""Load tests. `python -m loadtest` is an open-loop client: it sends when it planned to, whatever the server does."""
