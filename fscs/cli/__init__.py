"""The console command `fscs`."""
