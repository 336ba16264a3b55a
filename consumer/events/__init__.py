"""What comes in and goes out: upload events, transcripts, dead letters.

Pure: no I/O, no clock, no logging. Only the tool that writes the schema files (`consumer.events.schemas`) touches any.
"""
