"""Worker processes in which functions vote: a row that hangs, exits or eats memory is found, and the rest goes on."""
