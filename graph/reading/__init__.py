"""Reading tables as people have them: encodings, line ends, quoting, units."""
