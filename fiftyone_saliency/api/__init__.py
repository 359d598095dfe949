"""The public verbs: the one place where the torch side and the FiftyOne side meet."""
