# Rates from sums over each array: trust ratios and normalized gradients; twins of
# lrcore/reference/layerwise.py.
