"""Parts of networks that several backbones or methods share."""
