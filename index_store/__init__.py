"""Bundles on disk and in memory: publish, verify, load, search.

Never imports grpc, protobuf or prometheus: errors here speak of files, the server translates them.
"""
