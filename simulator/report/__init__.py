"""How what was measured is shown: in the terminal, as a web page, and as files for programs."""
