"""The networks, and the LightningModule that they share."""
