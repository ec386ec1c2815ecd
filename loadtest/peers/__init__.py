"""The same job done by what a team would otherwise build: `python -m loadtest.peers`. Nothing here is served."""
