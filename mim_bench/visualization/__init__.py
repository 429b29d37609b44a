"""Pictures of what methods see, are to predict, and predict."""
