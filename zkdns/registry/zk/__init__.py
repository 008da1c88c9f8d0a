"""One ZooKeeper ensemble: session, watches and reads, as events. kazoo is imported here alone."""
