"""Builds the small demo models of `tingxie` from nothing but text files and a speech synthesiser."""
