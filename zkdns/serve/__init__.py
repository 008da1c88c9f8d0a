"""How it is asked: packet -> packet."""
