"""The detection store: detections and masks in HDF5 shards."""
