"""What we say: Catalog -> Answers."""
