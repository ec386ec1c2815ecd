"""Moves this process into a network of its own that has nothing but 127.0.0.1.

Ray Serve's gRPC proxy and Milvus listen on every interface whatever they are told; here nobody else can reach them.
"""

import ctypes
import fcntl
import socket
import struct

_CLONE_NEWNET = 0x40000000
_SIOCSIFFLAGS = 0x8914
_IFF_UP_RUNNING = 0x41


def only_loopback() -> bool:
    """Leave the machine's networks, with all processes started from now on; False if only root may."""
    if ctypes.CDLL(None, use_errno=True).unshare(_CLONE_NEWNET):
        return False
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", _IFF_UP_RUNNING))
    return True
