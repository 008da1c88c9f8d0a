"""Zone files: read, looked up, and laid beneath what the services say."""
