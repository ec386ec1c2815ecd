"""Learns Shortlist's retrieval models from an interaction log and assembles the content of a bundle.

Dataflow: config -> ingest -> splits -> cooccurrence -> pmi -> led + train -> evaluate -> export + assemble -> publish.
Imports `models` and `index_store`; nothing that serves imports this package.
"""

import models  # noqa: F401 - before anything imports onnxruntime: it turns its telemetry off
