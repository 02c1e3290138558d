"""Dataset layouts: how folders of images and masks are arranged, one layout a file."""
