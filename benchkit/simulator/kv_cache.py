"""The KV cache in blocks, whose free list is at the same time the prefix cache.

As vLLM's: a block that is full and known by its hash goes to the end of the free list when nobody holds it any more,
and is taken from its front when there is nothing better; blocks without a hash come before all of these. Only counts
and hashes are kept here, no blocks: blocks without a hash are all alike. One deviation: of several blocks with the same
content, which vLLM keeps side by side until the first is evicted, one is known by its hash.
"""

from __future__ import annotations

from collections import OrderedDict

from benchkit.simulator.requests import EngineRequest


class KvCache:
    """Blocks of a fixed number; requests hold some, and what was computed may be found again.

    Attributes:
        total: blocks in all.
        free: blocks that nobody holds, whether their content is still known or not.
    """

    __slots__ = ("_caching", "_held", "_idle", "_size", "free", "total")

    def __init__(self, total: int, block_size: int, *, caching: bool) -> None:
        self.total = self.free = total
        self._size = block_size
        self._caching = caching
        self._held: dict[int, int] = {}
        """Hash -> how many requests hold the block."""
        self._idle: OrderedDict[int, None] = OrderedDict()
        """Hashes of free blocks whose content is known, the longest idle first."""

    @property
    def known(self) -> int:
        """Blocks whose content can be found again, held or free."""
        return len(self._held) + len(self._idle)

    def blocks_for(self, tokens: int) -> int:
        """Blocks that so many tokens fill or begin."""
        return -(-tokens // self._size)

    def find(self, request: EngineRequest, tokens: int) -> tuple[int, int]:
        """How many of a request's first blocks are there, and how many of these are free now.

        Args:
            request: whose hashes are looked up.
            tokens: its tokens; at least one of them is left to be computed.
        """
        if not self._caching:
            return 0, 0
        found = idle = 0
        for key in request.block_hashes[: (tokens - 1) // self._size]:
            if key in self._idle:
                idle += 1
            elif key not in self._held:
                break
            found += 1
        return found, idle

    def take_found(self, request: EngineRequest, found: int) -> None:
        """Gives a request, which holds nothing, its first ``found`` blocks from what is known."""
        for key in request.block_hashes[:found]:
            count = self._held.get(key, 0)
            if not count:
                del self._idle[key]
                self.free -= 1
            self._held[key] = count + 1
            request.shared_blocks.append(key)
        request.blocks = request.hashed = found

    def take_new(self, request: EngineRequest, blocks: int) -> None:
        """Gives a request more blocks, of which there must be enough; known content is lost, the longest idle first."""
        self.free -= blocks
        request.blocks += blocks
        while len(self._idle) > self.free:
            self._idle.popitem(last=False)

    def learn(self, request: EngineRequest, tokens: int) -> None:
        """Remembers the content of a request's blocks that its first ``tokens`` fill."""
        hashes = request.block_hashes
        until = min(tokens // self._size, len(hashes))
        if not self._caching or until <= request.hashed:
            return
        for key in hashes[request.hashed : until]:
            if key in self._held:
                continue
            self._idle.pop(key, None)
            self._held[key] = 1
            request.shared_blocks.append(key)
        request.hashed = until

    def release(self, request: EngineRequest) -> None:
        """Takes all of a request's blocks back, its last ones to be lost first."""
        held = self._held
        shared = request.shared_blocks
        freed = request.blocks - len(shared)
        for key in reversed(shared):
            count = held[key] - 1
            if count:
                held[key] = count
            else:
                del held[key]
                self._idle[key] = None
                freed += 1
        self.free += freed
        shared.clear()
        request.blocks = request.hashed = 0

    def forget(self) -> None:
        """Forgets the content of all blocks that nobody holds."""
        self._idle.clear()
