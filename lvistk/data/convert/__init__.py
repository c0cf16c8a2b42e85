"""COCO, YOLO and LabelMe data made into LVIS annotation files."""
