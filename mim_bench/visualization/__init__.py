"""Pictures of what networks see, are to predict, and predict."""
