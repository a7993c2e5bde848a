"""What Backstory's own tests stand on, shipped so that yours can too."""
