"""Files, numbers in words and the style of figures, for every study."""
