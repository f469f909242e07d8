"""What is learned about songs, listeners, artists and attributes."""
