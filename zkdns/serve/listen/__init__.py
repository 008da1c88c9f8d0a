"""How queries come in: one file a transport."""
