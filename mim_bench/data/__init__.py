"""The embedded dataset, the dataset checks, the transforms and the seeding of samples."""
