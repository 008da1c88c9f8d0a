"""What is registered: ZooKeeper or a file -> Catalog."""
