"""What could be played next: channels that propose, and the merge that brings their proposals together."""
