"""One self-supervised model a file; methods never import each other."""
