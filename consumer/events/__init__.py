"""What comes in and goes out: upload events, transcripts, dead letters. Pure: no I/O, no clock, no logging."""
