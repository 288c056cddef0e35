"""One module per cause: the evidence it needs, how to undo it on a copy, and the repair."""
