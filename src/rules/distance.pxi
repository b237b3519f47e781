# Rates from the distance that parameters have come: DoG, D-Adaptation, Prodigy; twins of lrcore/reference/distance.py.
