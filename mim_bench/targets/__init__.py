"""What a method predicts, as pure functions of images."""
