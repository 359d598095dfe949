"""The professions story: pictures, a network, and the loop from the confusion matrix to retraining."""
