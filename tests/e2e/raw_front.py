# SPDX-License-Identifier: MIT
"""A front in Python, written from the contract (proto/tmem) and nothing else: it can be right, and it can lie as a guest may."""
import array
import mmap
import os
import socket
import struct
import time

MAGIC, VERSION = 0x666D656D74, 1
HELLO, WELCOME = struct.Struct("<QIIII16s2QQ64s"), struct.Struct("<QIIIIIIQQ")
REQUEST, RESPONSE = struct.Struct("<IBBHII3QII2Q"), struct.Struct("<IHBBQ")
PAGE, RESPONSES_AT = 4096, 256
REQUEST_PROD, REQUEST_EVENT, RESPONSE_PROD, RESPONSE_EVENT = 0, 64, 128, 192
NO_SLOT = 0xFFFF
RESULTS = ["welcome", "bad hello", "bad version", "not allowed", "in use", "full", "shutting down"]

OPS = {"query": 1, "new_pool": 2, "destroy_pool": 3, "put": 4, "get": 5, "flush_page": 6, "flush_object": 7, "join_pool": 8, "leave_pool": 9}
STATUS = ["ok", "miss", "no_space", "put_flushed", "frozen", "over_cap", "no_pool", "pool_exists", "no_pool_slots", "bad_version",
          "bad_page_size", "bad_flags", "not_authorised", "not_all_queues", "bad_object", "bad_request", "corrupt", "no_credit"]
PERSISTENT, SHARED = 1, 2
SAME_FILLED = 2  # request flag
WAIT_S = 30  # far above what is needed: reached only when something hangs


def pool_flags(kind, version=VERSION):
    return kind | version << 24


class Refused(Exception):
    """The service answered the hello with a refusal; the text is the reason's name."""


class Gone(Exception):
    """The service closed the connection, or its end of the ring no longer moves."""


class Queue:
    """One queue in the shared region. The cursors are private, as in every front."""

    def __init__(self, memory, base, order, doorbell, answers):
        self.memory, self.base, self.order, self.doorbell, self.answers = memory, base, order, doorbell, answers
        # The peer looks at any time. struct writes a word byte by byte, after zeroing it; an element of a view is one store.
        self.control = memoryview(memory)[base:base + RESPONSES_AT].cast("I")
        self.entries = 1 << order
        self.prod = self.cons = 0
        self.slots_at = base + PAGE * (1 + (self.entries * REQUEST.size + PAGE - 1) // PAGE)
        self.store(REQUEST_EVENT, 1)
        self.store(RESPONSE_EVENT, 1)

    @staticmethod
    def pages(order):
        return 1 + ((1 << order) * REQUEST.size + PAGE - 1) // PAGE + (1 << order)

    def load(self, word):
        return self.control[word // 4]

    def store(self, word, value):
        self.control[word // 4] = value & 0xFFFFFFFF

    def slot(self, number):
        at = self.slots_at + number * PAGE
        return memoryview(self.memory)[at:at + PAGE]

    def fill(self, op, slot=NO_SLOT, flags=0, pool=0, index=0, obj=(0, 0, 0), pool_flags=0, reserved=0, value=(0, 0)):
        at = self.base + PAGE + (self.prod % self.entries) * REQUEST.size
        REQUEST.pack_into(self.memory, at, self.prod & 0xFFFFFFFF, OPS.get(op, op), flags, slot, pool, index, *obj, pool_flags, reserved, *value)
        self.prod += 1

    def publish(self):
        self.store(REQUEST_PROD, self.prod)
        self.ring()

    def ring(self):
        os.write(self.doorbell, struct.pack("<Q", 1))

    def take(self):
        """The next response as (id, status, flags, credits, value)."""
        deadline = time.monotonic() + WAIT_S
        while self.load(RESPONSE_PROD) == self.cons & 0xFFFFFFFF:
            if time.monotonic() > deadline:
                raise Gone("no response")
            time.sleep(0.0002)
        answer = RESPONSE.unpack_from(self.memory, self.base + RESPONSES_AT + (self.cons % self.entries) * RESPONSE.size)
        assert answer[0] == self.cons & 0xFFFFFFFF, "responses come in the order of requests"
        self.cons += 1
        return answer

    def call(self, op, **fields):
        """One request and its answer: the status by name, and the response's value."""
        self.fill(op, **fields)
        self.publish()
        _, status, flags, _, value = self.take()
        return STATUS[status], flags, value


class Front:
    """A connection. identity: (uuid, nonce, epoch) of an earlier one, to claim its pools."""

    def __init__(self, path, name="raw", queues=1, order=4, identity=None, version=VERSION, magic=MAGIC, flags=0, raw_hello=None):
        self.uuid, self.nonce, self.epoch = identity or (os.urandom(16), struct.unpack("<2Q", os.urandom(16)), 0)
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.socket.settimeout(WAIT_S)
        self.socket.connect(path)
        self.socket.send(raw_hello if raw_hello is not None else
                         HELLO.pack(magic, version, queues, order, flags, self.uuid, *self.nonce, self.epoch, name.encode()))
        self.fds = array.array("i")
        try:
            self._welcome()
        except BaseException:
            self.socket.close()
            raise

    def _welcome(self):
        message, ancillary, _, _ = self.socket.recvmsg(WELCOME.size, socket.CMSG_SPACE(4 * 65))
        if len(message) != WELCOME.size:
            raise Gone("closed instead of a welcome")
        magic, result, self.version, count, order, self.client, self.resumed, self.epoch, self.generation = WELCOME.unpack(message)
        assert magic == MAGIC
        if result != 0:
            raise Refused(RESULTS[result])
        for level, kind, data in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                self.fds.frombytes(data[:len(data) - len(data) % self.fds.itemsize])
        assert len(self.fds) == 1 + 2 * count
        self.memory = mmap.mmap(self.fds[0], Queue.pages(order) * PAGE * count)
        self.queues = [Queue(self.memory, Queue.pages(order) * PAGE * i, order, self.fds[1 + 2 * i], self.fds[2 + 2 * i]) for i in range(count)]

    @property
    def identity(self):
        return self.uuid, self.nonce, self.epoch

    def close(self):
        self.socket.close()
        for fd in self.fds:
            os.close(fd)
        self.fds = array.array("i")

    def closed_by_service(self):
        """Waits until the service has closed its end."""
        try:
            return self.socket.recv(1) == b""
        except (ConnectionResetError, BrokenPipeError):
            return True
        except socket.timeout:
            return False

    def put(self, pool, obj, index, page, queue=0):
        q = self.queues[queue]
        q.slot(0)[:] = page
        return q.call("put", slot=0, pool=pool, obj=(obj, 0, 0), index=index)[0]

    def get(self, pool, obj, index, queue=0):
        q = self.queues[queue]
        status, flags, value = q.call("get", slot=0, pool=pool, obj=(obj, 0, 0), index=index)
        if status != "ok":
            return status, None
        return status, struct.pack("<Q", value) * (PAGE // 8) if flags & 1 else bytes(q.slot(0))

    def new_pool(self, pool, kind):
        return [q.call("new_pool", pool=pool, pool_flags=pool_flags(kind))[0] for q in self.queues]
