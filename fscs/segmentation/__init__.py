"""From a few annotated images to a segmenter, and from a segmenter to segmented images."""
