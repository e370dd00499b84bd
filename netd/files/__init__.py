"""Trees of files that somebody else changes meanwhile: read as archives, and written from archives."""
