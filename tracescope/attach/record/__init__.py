"""What lies in a record: its layout, the values that a program captures, and how they are read there."""
