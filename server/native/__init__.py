"""The native transport: HTTP/2 and gRPC framing outside the GIL by pygrpc-native, the work on a thread of ours."""
