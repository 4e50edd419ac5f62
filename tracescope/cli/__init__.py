"""The command line: one small module a command. Standard output carries data only."""
