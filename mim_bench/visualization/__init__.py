"""Pictures of inputs, targets and predictions of networks."""
