"""Run folders as one page: tables, images and curves. Reads files alone, and imports no torch."""
