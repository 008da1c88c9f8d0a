"""What any DNS program needs: names, types, records, messages. It knows nothing of services."""
