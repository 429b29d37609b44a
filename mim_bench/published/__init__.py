"""Numbers of other groups, one file a repository, and what reads them."""
