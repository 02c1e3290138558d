"""What is installed: the two distributions of this repository are built, looked into, installed alone and tried."""
