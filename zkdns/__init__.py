"""zkdns: ZooKeeper registrations as DNS."""
__version__ = "0.1.0"
