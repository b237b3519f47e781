# Rates that the sign of a gradient, or of its momentum, decides; twins of
# lrcore/reference/sign.py.
