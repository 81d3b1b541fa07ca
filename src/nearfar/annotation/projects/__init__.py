"""Projects: folders with poses, images, pairs to ask about, and lessons."""
