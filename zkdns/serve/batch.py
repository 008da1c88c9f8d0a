"""Many datagrams a system call: recvmmsg and sendmmsg (Linux) through ctypes.

Rules: only moves bytes. All memory is laid out once; what a call changes is made ready again before
the next one. Where libc has no recvmmsg, `Batch` can't be made (OSError) and datagrams go one by one.
"""

from __future__ import annotations

import ctypes
import os
import socket
from array import array
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

SLOTS = 64
"""Datagrams a call."""

QUERY = 4096
"""Bytes of a datagram that are read: no query is longer; of one that is, the rest is lost."""

_STRIDE = QUERY + 64
"""From one datagram to the next: a multiple of 4096 would have all of them meet in the same few lines of a
cache."""
_ADDRESS = 28
_CONTROL = 64
_STARTS = range(0, SLOTS * _STRIDE, _STRIDE)
_CONTROL_SIZES = memoryview(array("I", [_CONTROL] * SLOTS))
_IP_PKTINFO = getattr(socket, "IP_PKTINFO", 8)


class _Iovec(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("len", ctypes.c_size_t))


class _Msghdr(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_void_p),
        ("namelen", ctypes.c_uint32),
        ("iov", ctypes.c_void_p),
        ("iovlen", ctypes.c_size_t),
        ("control", ctypes.c_void_p),
        ("controllen", ctypes.c_size_t),
        ("flags", ctypes.c_int),
    )


class _Mmsghdr(ctypes.Structure):
    _fields_ = (("hdr", _Msghdr), ("len", ctypes.c_uint32))


class Datagram(NamedTuple):
    """One that is answered later than the next call: all that is to be known of it. `client`: in text;
    `whose`: the client as far as turns go, which in IPv6 is a /64, of which one may have every address."""

    query: bytes
    client: str
    whose: bytes
    name: bytes
    control: bytes


class Batch:
    """The memory of one socket's calls. `control`: bytes of ancillary data to read for each."""

    def __init__(self, sock: socket.socket, control: bool = False) -> None:
        # These calls don't wait. One that lets go of the interpreter meanwhile, as a CDLL's does, waits for
        # it afterwards instead, for all that a thread which compiles may have it.
        libc = ctypes.PyDLL(None, use_errno=True)
        if not hasattr(libc, "recvmmsg") or ctypes.sizeof(ctypes.c_void_p) != 8:
            raise OSError("no recvmmsg here")
        self._receive_call, self._send_call = libc.recvmmsg, libc.sendmmsg
        self._fd = sock.fileno()
        self.family = sock.family
        self._control = _CONTROL if control else 0
        self._in, self._out = (ctypes.create_string_buffer(SLOTS * _STRIDE) for _ in range(2))
        self._names = ctypes.create_string_buffer(SLOTS * _ADDRESS)
        self._controls = ctypes.create_string_buffer(SLOTS * _CONTROL)
        self._kept_names = ctypes.create_string_buffer(SLOTS * _ADDRESS)
        self._kept_controls = ctypes.create_string_buffer(SLOTS * _CONTROL)
        self._iov_in, self._iov_out = (_Iovec * SLOTS)(), (_Iovec * SLOTS)()
        self._head_in, self._head_out = (_Mmsghdr * SLOTS)(), (_Mmsghdr * SLOTS)()
        names, controls = ctypes.addressof(self._names), ctypes.addressof(self._controls)
        for k in range(SLOTS):
            self._iov_in[k] = _Iovec(ctypes.addressof(self._in) + k * _STRIDE, QUERY)
            self._iov_out[k] = _Iovec(ctypes.addressof(self._out) + k * _STRIDE, 0)
            for heads, iov in ((self._head_in, self._iov_in), (self._head_out, self._iov_out)):
                heads[k].hdr = _Msghdr(
                    names + k * _ADDRESS,
                    _ADDRESS,
                    ctypes.addressof(iov) + k * ctypes.sizeof(_Iovec),
                    1,
                    controls + k * _CONTROL if control else None,
                    self._control,
                    0,
                )
        # The same memory as plain numbers: an attribute of a ctypes structure costs five times as much.
        self._replies = memoryview(self._out).cast("B")
        self.addresses = memoryview(self._names).cast("B")
        self.controls = memoryview(self._controls).cast("B")
        self._kept_addresses = memoryview(self._kept_names).cast("B")
        self._kept_data = memoryview(self._kept_controls).cast("B")
        self._words_in = memoryview(self._head_in).cast("B").cast("I")
        self._words_out = memoryview(self._head_out).cast("B").cast("Q")
        self._reply_sizes = memoryview(self._iov_out).cast("B").cast("Q")[1::2]
        self._sizes = self._words_in[self._LEN :: self._WORDS]
        self._control_sizes = self._words_in[self._CONTROLLEN :: self._WORDS]
        self._hosts = self.addresses.cast("I")[1 :: _ADDRESS // 4]
        self._used = 0

    _WORDS = ctypes.sizeof(_Mmsghdr) // 4
    _LEN = _Mmsghdr.len.offset // 4
    _CONTROLLEN = _Msghdr.controllen.offset // 4
    _NAME64 = _Msghdr.name.offset // 8
    _CONTROL64 = _Msghdr.control.offset // 8
    _CONTROLLEN64 = _Msghdr.controllen.offset // 8

    def receive(self, first: int = 0) -> int:
        """How many datagrams came (0: none waits), which are in the slots from `first` on; those before stay.
        OSError on anything else."""
        if self._control and not first:
            self._control_sizes[: self._used] = _CONTROL_SIZES[: self._used]
            self._used = 0
        heads = ctypes.byref(self._head_in, first * ctypes.sizeof(_Mmsghdr))
        n = self._receive_call(self._fd, heads, SLOTS - first, socket.MSG_DONTWAIT, None)
        if n < 0:
            error = ctypes.get_errno()
            if error in (11, 4):  # EAGAIN, EINTR
                return 0
            raise OSError(error, os.strerror(error))
        self._used = first + int(n)
        return int(n)

    def forget_interface(self, k: int) -> None:
        """Leave of the k-th datagram's PKTINFO the address alone: routing chooses the interface of
        the reply, as of any other (RFC 3542, section 6); a link-local address needs its own. Nothing leaves
        from an address of many (RFC 4291, section 2.7): of such, nothing is left."""
        data = k * _CONTROL + 16
        if self.family == socket.AF_INET:  # of these the kernel tells an address of ours
            self.controls[data : data + 4] = b"\0\0\0\0"
        elif self.controls[data] == 0xFF:
            self._control_sizes[k] = 0
        elif bytes(self.controls[data : data + 2]) != b"\xfe\x80":
            self.controls[data + 16 : data + 20] = b"\0\0\0\0"

    def queries(self, count: int, first: int = 0) -> list[bytes]:
        """So many datagrams from the slot `first` on."""
        sizes = self._sizes[first : first + count].tolist()
        memory: Any = self._in  # half the price of slices of a memoryview; typeshed takes them for lists
        return [memory[at : at + n] for at, n in zip(_STARTS[first:], sizes, strict=False)]

    def clients(self, count: int, first: int = 0) -> list[str]:
        """The addresses in text that they came from."""
        if self.family == socket.AF_INET:
            hosts = self._hosts[first : first + count].tobytes()
            if hosts == hosts[:4] * count:  # most that come together are of one client
                return [_text(self.family, hosts[:4])] * count
            return [_text(self.family, hosts[at : at + 4]) for at in range(0, 4 * count, 4)]
        names, starts = self.addresses, range(first * _ADDRESS, (first + count) * _ADDRESS, _ADDRESS)
        return [_text(self.family, names[at + 8 : at + 24].tobytes()) for at in starts]

    def put(self, replies: Iterable[object], first: int = 0) -> int:
        """Lay out those that are bytes, from the slot `first` on, each to the datagram of its place from
        there on. Returns how many those are."""
        memory, sizes, control = self._replies, self._reply_sizes, self._control
        slot, at = first, first * _STRIDE
        for k, reply in enumerate(replies, first):
            if isinstance(reply, bytes):
                size = len(reply)
                memory[at : at + size] = reply
                sizes[slot] = size
                if slot != k or control:
                    self._address(slot, k)
                slot += 1
                at += _STRIDE
        return slot - first

    def _address(self, slot: int, k: int) -> None:
        """What `slot` sends goes to whom the k-th datagram came from."""
        at = slot * self._WORDS // 2
        words = self._words_out
        words[at + self._NAME64] = ctypes.addressof(self._names) + k * _ADDRESS
        if self._control:
            self.forget_interface(k)
            words[at + self._CONTROL64] = ctypes.addressof(self._controls) + k * _CONTROL
            words[at + self._CONTROLLEN64] = self._control_sizes[k]

    def keep(self, queries: Sequence[bytes], clients: Sequence[str], first: int = 0) -> Iterator[Datagram]:
        """The datagrams from `first` on, for longer than until the next call. `queries`, `clients`: what they
        all say, and whose they are."""
        names, control = self.addresses.tobytes(), b""
        start, end = (4, 8) if self.family == socket.AF_INET else (8, 16)
        for k in range(first, len(queries)):
            name = names[k * _ADDRESS : (k + 1) * _ADDRESS]
            if self._control:
                self.forget_interface(k)
                at = k * _CONTROL
                control = bytes(self.controls[at : at + self._control_sizes[k]])
            yield Datagram(queries[k], clients[k], name[start:end], name, control)

    def put_kept(self, slot: int, kept: Datagram, reply: bytes) -> None:
        """Lay out `reply` to a datagram that was kept as the one that `slot` sends."""
        start = slot * _STRIDE
        self._replies[start : start + len(reply)] = reply
        self._reply_sizes[slot] = len(reply)
        name, control = slot * _ADDRESS, slot * _CONTROL
        self._kept_addresses[name : name + _ADDRESS] = kept.name
        at = slot * self._WORDS // 2
        self._words_out[at + self._NAME64] = ctypes.addressof(self._kept_names) + name
        if self._control:
            self._kept_data[control : control + len(kept.control)] = kept.control
            self._words_out[at + self._CONTROL64] = ctypes.addressof(self._kept_controls) + control
            self._words_out[at + self._CONTROLLEN64] = len(kept.control)

    def send(self, count: int, shifted: bool, first: int = 0) -> int:
        """Send `count` slots from `first` on; how many could not be. `shifted`: some names were moved."""
        at, end, lost = first, first + count, 0
        while at < end:
            n = self._send_call(
                self._fd, ctypes.byref(self._head_out, at * ctypes.sizeof(_Mmsghdr)), end - at, 0
            )
            if n <= 0:  # one that can't be sent holds up nobody behind it
                n = 1
                lost += 1
            at += n
        if shifted:
            base = ctypes.addressof(self._names)
            for k in range(first, end):
                self._words_out[k * self._WORDS // 2 + self._NAME64] = base + k * _ADDRESS
        return lost

    def source_of(self, kept: Datagram) -> list[tuple[int, int, bytes]]:
        """The same of one that was kept."""
        if not kept.control:
            return []
        if self.family == socket.AF_INET:
            return [(socket.IPPROTO_IP, _IP_PKTINFO, kept.control[16:28])]
        return [(socket.IPPROTO_IPV6, socket.IPV6_PKTINFO, kept.control[16:36])]

    def source(self, k: int) -> list[tuple[int, int, bytes]]:
        """The ancillary data that makes a later reply leave from where the k-th query came to."""
        self.forget_interface(k)
        if not self._control_sizes[k]:
            return []
        data = k * _CONTROL + 16
        if self.family == socket.AF_INET:
            return [(socket.IPPROTO_IP, _IP_PKTINFO, bytes(self.controls[data : data + 12]))]
        return [(socket.IPPROTO_IPV6, socket.IPV6_PKTINFO, bytes(self.controls[data : data + 20]))]

    def peer(self, k: int, client: str) -> tuple[str, int] | tuple[str, int, int, int]:
        """Where the k-th datagram came from, as a socket takes it. `client`: its address in text."""
        start = k * _ADDRESS
        return self.peer_of(client, self.addresses[start : start + _ADDRESS])

    def peer_of(self, client: str, name: bytes | memoryview) -> tuple[str, int] | tuple[str, int, int, int]:
        """The same of an address in text and as the kernel told it."""
        port = int.from_bytes(name[2:4], "big")
        if self.family == socket.AF_INET:
            return client, port
        return client, port, 0, int.from_bytes(name[24:28], "little")


@lru_cache(10_000)
def _text(family: int, packed: bytes) -> str:
    return socket.inet_ntop(family, packed)
