# Second moments kept by row and column; twins of lrcore/reference/factored.py.
