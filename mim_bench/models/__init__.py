"""Methods, backbones, necks and heads; importing this package registers them."""
