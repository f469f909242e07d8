"""How people use it: command line, REST, jobs and settings."""
