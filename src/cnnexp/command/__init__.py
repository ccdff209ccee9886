"""The command line: what was typed, the folder it may write, and what to say when it can't be done."""
