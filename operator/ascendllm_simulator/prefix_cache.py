"""The prefix cache: finds the leading blocks of a prompt that were computed before.

As in vLLM, only whole blocks are cached. A block is identified by the salt, its tokens and all
tokens before it. The last token of a prompt is always computed.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

__all__ = ["PrefixCache"]


class PrefixCache:
    """A cache of blocks with least-recently-used eviction.

    Args:
        block_size: Tokens per block.
        blocks: The capacity in blocks.
    """

    def __init__(self, block_size: int, blocks: int) -> None:
        self._block_size = block_size
        self._blocks = blocks
        self._known: OrderedDict[int, None] = OrderedDict()

    def take(self, ids: Sequence[int], salt: str | None) -> int:
        """Look up a prompt and add its blocks.

        Returns:
            The number of leading tokens that were cached.
        """
        size = self._block_size
        last_whole = (len(ids) - 1) // size * size
        parent = hash(salt)
        hits = 0
        missed = False
        for start in range(0, len(ids) // size * size, size):
            parent = hash((parent, tuple(ids[start : start + size])))
            if parent in self._known:
                self._known.move_to_end(parent)
                hits += 0 if missed or start >= last_whole else size
            else:
                missed = True
                self._known[parent] = None
        while len(self._known) > self._blocks:
            self._known.popitem(last=False)
        return hits
