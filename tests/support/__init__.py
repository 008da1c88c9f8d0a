"""What the tests share: real servers as fixtures."""
