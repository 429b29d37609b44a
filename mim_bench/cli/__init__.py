"""The command line: parse, call, print. The work stands in the other packages."""
