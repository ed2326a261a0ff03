"""The scores of samples: for each scorer the stage that makes its batches."""
