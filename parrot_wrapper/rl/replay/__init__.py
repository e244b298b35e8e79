"""Replay buffers with demonstrations or with rewards in each batch."""
