# Descendants of Adam: other moments of past gradients; twins of
# lrcore/reference/moments.py.
