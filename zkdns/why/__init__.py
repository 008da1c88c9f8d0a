"""What `explain` is made of: whom a name is about, who stands in its answer, and what would be if."""
