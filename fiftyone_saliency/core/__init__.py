"""Pure ground: values, arithmetic and errors. NumPy, OpenCV and the standard library only."""
