"""What was imported: which sources there are, what each said, and how one is taken back."""
