"""What ``lrcore train`` needs besides the library: tables, small models, the loop over epochs."""
