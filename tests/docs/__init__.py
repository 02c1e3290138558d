"""Documentation: every block of code on a page is run, every link leads somewhere, the pictures are drawn here."""
