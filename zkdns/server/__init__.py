"""One server process: its life, what it tells of itself, what it keeps on disk."""
