# Averages of iterates, and sums of gradients: dual averaging, schedule-free and follow-the-leader methods; twins of
# lrcore/reference/averaging.py.
