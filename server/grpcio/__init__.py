"""The grpcio transport: gRPC's C-core driven by one thread, without asyncio between them."""
