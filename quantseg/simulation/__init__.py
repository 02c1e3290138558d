"""A quantised model in the simulator: read as a program, run on images, compared, proved safe, explained.

program → run → compared (judging), proved (proof), worked by hand (explaining); `examining` does it all in one pass.
"""
