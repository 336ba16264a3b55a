"""The stages, the way of a recording through them, and the loop that owns all state about records."""
