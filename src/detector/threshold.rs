//! A threshold for the image score from the scores of the training images.
