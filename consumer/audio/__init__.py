"""Decoding of untrusted media, in processes of their own."""
