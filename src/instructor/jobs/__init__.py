"""Jobs: a typed answer for each row of any number of rows."""
