"""What was said in a recording, from words to files; pure."""
