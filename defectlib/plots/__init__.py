"""What notebooks call to show things: the paper's values, tables, figures, widgets. Reads artifacts, loads no torch."""
