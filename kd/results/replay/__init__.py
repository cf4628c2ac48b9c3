"""Replays a finished record with fewer of its runs: what would each way of saving have found."""
