"""What the user asks of a session: filters, conditions, values to show, keys to count by."""
