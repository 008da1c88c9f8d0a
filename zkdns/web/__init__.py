"""What people look at: page, API, metrics, events."""
