"""Objects of custom resources, whatever their definitions say."""
