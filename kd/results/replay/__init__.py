"""Replays a finished record with fewer of its runs: what cheaper designs would have found."""
