"""The command `facelight` on pictures and networks of one's own: train, measure, predict, enhance, export."""
