"""The online server: settings, processes, the gRPC edge and the retrieval behind it."""
